package setup

import "runtime/debug"

// garbagePercent is the value of GOGC. A request uses little memory at a time, but allocates often. With Go's default of 100, a function
// would run several garbage collections per request, which is slow because it has only a fraction of a processor.
const garbagePercent = 400

// UseMemory configures the garbage collector for a function with mib MiB of memory. It runs rarely while little memory is used, and
// more often near three quarters of mib, because Lambda kills a function that exceeds its memory. The last quarter is for memory that
// Go does not count: the executable and other processes.
func UseMemory(mib int) {
	debug.SetGCPercent(garbagePercent)
	debug.SetMemoryLimit(int64(mib) << 20 / 4 * 3)
}
