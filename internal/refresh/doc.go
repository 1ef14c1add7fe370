// Package refresh asks ECR for what the record of a repository lacks and takes the answers into it, in memory. Visits and reads do it with the
// same functions, so that both see the same. It bounds what is asked at once.
//
// It stores nothing, starts no scan, and does not decide what is due or shown.
package refresh
