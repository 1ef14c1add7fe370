// Package render turns results into bytes: the text of the summary, the feeds and the pages for a browser. It is pure: the same values give the
// same bytes, and it asks nobody for anything.
//
// Every string that comes from a registry or a scanner is made harmless here, where it lands. Which results there are is the business of
// package scan, and how they are served that of package httpapi.
package render
