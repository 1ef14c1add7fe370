// Package render writes results as text, JSON, CSV and as a badge. It also contains code for all formats: the words for states, reasons and
// filters, the removal of control characters, and the maximum size of a response. The output depends only on the arguments.
//
// Package feed writes feeds, package page writes pages for a browser, and package sarif writes SARIF. Package report computes the
// results, and package httpapi serves them.
package render
