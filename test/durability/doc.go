// Package durability tests that the stored records survive failures: visits of one repository that overlap in one
// bucket, concurrent reads, faults of S3 and ECR, visits that die at any call, repeated and late messages, broken
// objects, and wrong clocks. It also tests which calls to ECR visits and reads make, and that reads store nothing.
// The tests run the use cases with the embedded S3 and ECR on the fake clock of testing/synctest.
//
// The rules for the content of records are tested in package history. This package tests what is stored in S3.
package durability
