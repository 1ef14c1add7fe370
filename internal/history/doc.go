// Package history is what is stored of a repository, as values: the [Record] with what its tags point to and what ECR said of them, and the
// [History] of the findings of one image. It decides what is new, fixed or raised, and how that is dated.
//
// It asks nobody and stores nothing: package refresh brings a record up to date, and package rescan stores it.
package history
