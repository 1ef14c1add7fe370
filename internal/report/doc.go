// Package report answers requests about the images that the configs watch. It returns values: the summary, the findings, the changes, and the
// result of a gate.
//
// It stores nothing and starts no scan. Package render writes the values in an output format.
package report
