// Package render writes results as text, JSON, CSV, SARIF and as a badge. It also has what all formats share: the words for states, reasons and
// filters, texts without control characters, and the bound of an answer's size. It is pure: the same values give the same bytes, and it
// asks nobody for anything.
//
// Feeds are the business of package feed, and pages for a browser that of package page. Which results there are is decided in package report, and
// package httpapi serves them.
package render
