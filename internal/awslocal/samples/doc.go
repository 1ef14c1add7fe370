// Package samples fills an embedded registry: with the repositories of the README's walkthrough, or with recorded answers of a real one.
//
// It does not decide how the registry behaves.
package samples
