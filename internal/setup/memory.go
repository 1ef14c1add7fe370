package setup

import "runtime/debug"

// garbagePercent is how much garbage there may be, in percent of what is in use, before it is collected. An answer from the record needs little
// at a time and leaves it behind: Go's own 100 would have a function, which has a part of one processor, collect several times in each.
const garbagePercent = 400

// UseMemory sets the garbage collector for a function of so many MiB: it works seldom, but ever harder as three quarters of them come near,
// since Lambda kills what takes more than all. A quarter is left for what Go doesn't count: the program itself, and what runs beside it.
func UseMemory(mib int) {
	debug.SetGCPercent(garbagePercent)
	debug.SetMemoryLimit(int64(mib) << 20 / 4 * 3)
}
