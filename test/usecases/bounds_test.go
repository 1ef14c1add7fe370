package usecases

import "time"

// The limits of requests and visits that the tests check.
const (
	maxReads        = 64
	batch           = 16
	maxStarts       = 64
	maxRepositories = 128
	maxCalls        = 100
	maxIDs          = 5000
	maxProblems     = 100
	maxGroups       = 100_000
	ecrWait         = 2 * time.Second
	saveTime        = 20 * time.Second
	readAgainTime   = time.Minute
	sweepTime       = 6 * time.Hour
)
