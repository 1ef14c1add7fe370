// Package figures computes what many images have together from the reports of package report: the trend of a config, and how current its results are.
//
// It reads nothing and decides nothing about a single image.
package figures
