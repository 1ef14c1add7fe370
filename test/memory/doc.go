// Package memory gives bad days to what the service remembers: readers and scan runs at once with faults in between, processes that die at any
// write, broken objects, clocks that are wrong. Its tests run the use cases against the embedded S3 and ECR on the fake clock of
// testing/synctest, where hours pass in a moment.
//
// The rules of what is remembered are tested beside them, in package scan; this is about what becomes of the record in S3.
package memory
