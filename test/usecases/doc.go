// Package usecases tests what a visit stores and what a read shows of it: packages rescan, refresh and report together, over a registry, a store
// and a queue in memory, on a fake clock. It says nothing of AWS's protocols, of which the tests beside the adapters know.
package usecases
