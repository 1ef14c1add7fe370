// Package usecases tests what a visit stores and what requests then show. It tests the packages rescan, refresh and
// report together with a registry, a store and a queue in memory and a fake clock. It does not test AWS's protocols;
// the tests of the AWS packages do.
package usecases
