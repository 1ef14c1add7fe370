package usecases

import "time"

// The bounds that the tests hold reads and visits against.
const (
	mostReads        = 64
	batch            = 16
	mostStarts       = 64
	mostRepositories = 128
	mostCalls        = 100
	mostIDs          = 5000
	mostProblems     = 100
	mostGroups       = 100_000
	patience         = 2 * time.Second
	saveTime         = 20 * time.Second
	readAgainTime    = time.Minute
	sweepTime        = 6 * time.Hour
)
