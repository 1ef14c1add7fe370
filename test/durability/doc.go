// Package durability gives bad days to what the service remembers: visits of one repository that overlap on one bucket, readers beside them, faults
// in between, visits that die at any call, messages that come again or late, broken objects, clocks that are wrong. It counts what visits and
// reads ask of ECR, and sees to it that reads store nothing. Its tests run the use cases against the embedded S3 and ECR on the fake clock of
// testing/synctest, where hours pass in a moment.
//
// The rules of what is remembered are tested beside them, in package scan; this is about what becomes of the record in S3.
package durability
