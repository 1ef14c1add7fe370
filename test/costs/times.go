package costs

import "ecr-continuous-scan/internal/awslocal/ecr"

// measured are the times of a job of `make bench`, in milliseconds. floor is the time in which it waits for AWS.
type measured struct{ floor, warm, cold, start float64 }

// overhead returns how much longer a request takes than it waits for AWS.
func (m measured) overhead() float64 { return m.warm - m.floor }

// newProcess returns how much longer the first request to a process takes, with the start of the process.
func (m measured) newProcess() float64 { return m.start + m.cold - m.warm }

// Jobs of `make bench`, as the first column of its table.
const (
	scheduleJob = "schedule of 10 repositories"
	visitJob    = "visit of 20 images, nothing due"
	storeJob    = "the same, an hour after the record was stored"
	firstJob    = "first visit of 200 images, all due"
	feedJob     = "feed of 1,200 findings, records of 20 minutes"
	summaryJob  = "summary of 200 images in 10 repositories, records of 20 minutes"
)

// Sizes of these jobs.
const (
	scheduleRepositories = 10
	visitImages          = 20
	firstImages          = 200
)

// times are the measured times of docs/operations.md and of the benchmark of this package.
type times struct {
	schedule, visit, store, first, feed, summary measured
	// page is the processor time of the summary page for each repository, in milliseconds, by the number of images in each repository.
	page map[int]float64
	// image is the processor time of a visit for each image that is not due, in milliseconds, by the kind of scanning. A visit with enhanced
	// scanning reads the result of each.
	image map[ecr.ScanType]float64
}

// ofVisits returns the time of the visits of a day, in milliseconds: the simulated waiting, and the measured time for everything else.
func (t times) ofVisits(a account, d deployed) float64 {
	visits, images, repositories := perDay*float64(a.repositories), float64(a.images), float64(a.repositories)
	day := a.visits.times(repositories)
	ofImage := func(kind ecr.ScanType) float64 { return t.image[kind] / share(d.startScan) }
	sum := day.waiting + visits*(t.visit.overhead()-visitImages*ofImage(ecr.Basic)) + day.puts*(t.store.overhead()-t.visit.overhead()) + perDay*images*ofImage(a.kind)
	if a.kind == ecr.Basic { // one scan is started, and its result is read
		sum += images * (t.first.overhead() - t.visit.overhead()) / firstImages
	}
	return sum
}

// ofSummary returns the time of a request for the summary page, in milliseconds.
func (t times) ofSummary(a account, d deployed) float64 {
	return a.summary.waiting + float64(a.repositories)*t.page[a.perRepository()]/share(d.summary)
}

// deployed is what template.yaml sets. The memory of the functions is in GB.
type deployed struct{ startScan, summary, findings, concurrency, alarms float64 }

// share returns the share of a processor that a function with so many GB has.
func share(gb float64) float64 { return min(1, gb*1024/1769) }
