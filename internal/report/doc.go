// Package report is the reader: it tells what is known of the images that the configs watch, as values: a summary, the findings, what changed, the
// verdict of a gate.
//
// It stores nothing, starts no scan, and knows no format: package render writes the values.
package report
