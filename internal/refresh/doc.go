// Package refresh reads from ECR the data that the record of a repository does not have, and adds it to the record in
// memory. Visits and requests use the same functions, so that both get the same data. The package limits the number of
// concurrent calls.
//
// It stores nothing and starts no scans. It does not decide which scans are due or what a response shows.
package refresh
