// Package costs computes what the service costs in a month: the calls of simulated days and requests and the measured times of the functions,
// multiplied by AWS's list prices. docs/costs.md has the prices, the assumptions and the results, and docs/operations.md has the measured times. A
// test keeps them equal.
package costs

import (
	"maps"
	"math"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

// monthDays is the mean number of days of a month.
const monthDays = 365.0 / 12

// size is the number of images and repositories of an account.
type size struct{ images, repositories int }

func sizes() []size {
	return []size{{10, 10}, {100, 10}, {1_000, 100}, {10_000, 100}, {100_000, 1_000}}
}

// perRepository is the number of images of each repository.
func (s size) perRepository() int { return s.images / s.repositories }

func (s size) String() string {
	return thousands(float64(s.images)) + " in " + thousands(float64(s.repositories))
}

// price is a list price: USD for each unit above the free units of a month.
type price struct{ usd, free float64 }

// prices are the prices by name, as the first column of the table in docs/costs.md.
type prices map[string]price

// Names of prices.
const (
	gbSeconds   = "Lambda, GB-second (arm64)"
	invocations = "Lambda, request"
	s3Gets      = "S3, GET"
	s3Puts      = "S3, PUT or LIST"
	s3Storage   = "S3, GB stored for a month"
	sqsRequests = "SQS, request (FIFO)"
	metrics     = "CloudWatch, custom metric"
	alarms      = "CloudWatch, alarm"
	logs        = "CloudWatch, GB of logs"
	traces      = "X-Ray, trace"
	apiRequests = "API Gateway, request"
	firstScans  = "Inspector, first scan of an image"
	rescans     = "Inspector, further scan"
)

// assumptions are what no test measures, by name, as the first column of their table in docs/costs.md.
type assumptions map[string]float64

// Names of assumptions.
const (
	feedCount    = "requests for the feed of each config, a day"
	summaryCount = "requests for the summary page, a day"
	processTime  = "minutes after which Lambda ends a process that has no requests"
	versionDays  = "days until S3 deletes an old version of an object"
	ownLines     = "bytes that Lambda itself logs for an invocation"
	idlePolling  = "requests of Lambda to an empty queue, a month"
	tracedShare  = "share of the invocations that X-Ray records, in addition to one each second"
)

// without returns the assumptions with 0 for the names.
func (a assumptions) without(names ...string) assumptions {
	other := maps.Clone(a)
	for _, name := range names {
		other[name] = 0
	}
	return other
}

// account is what the simulations of an account found.
type account struct {
	size
	kind ecr.ScanType
	// schedule is the use of a day of schedules, and visits that of a day of visits of one repository.
	schedule, visits usage
	// feed and summary are the use of one request.
	feed, summary usage
	// stored are the bytes of the objects of one repository, without old versions.
	stored float64
}

// use is what an account uses in a month, by the name of the price.
type use map[string]float64

// month returns the use of a month.
func (a account) month(assumed assumptions, t times, d deployed) use {
	repositories := float64(a.repositories)
	visits, schedule := a.visits.times(repositories), a.schedule
	feeds, summaries := assumed[feedCount]*repositories, assumed[summaryCount]
	requests := a.feed.times(feeds).plus(a.summary.times(summaries))
	day := visits.plus(schedule).plus(requests)
	invoked := perDay*(repositories+1) + feeds + summaries

	visitTime := t.ofVisits(a, d)
	// Visits begin at the same time, so X-Ray does not record all. Requests to the API come at different times.
	visitSeconds := math.Ceil(visitTime / perDay / 1000 / d.concurrency)
	traced := perDay*(1+min(repositories, visitSeconds+assumed[tracedShare]*repositories)) + feeds + summaries

	// Lambda ends processes between two schedules.
	newProcesses := perDay * (min(d.concurrency, repositories)*t.visit.newProcess() + t.schedule.newProcess())
	startScan := (visitTime + newProcesses + perDay*t.schedule.warm*max(1, repositories/scheduleRepositories)) * d.startScan
	most := 24 * 60 / assumed[processTime] // new processes of a function of the API in a day
	findings := (feeds*(a.feed.waiting+t.feed.overhead()) + min(feeds, most)*t.feed.newProcess()) * d.findings
	summary := (summaries*t.ofSummary(a, d) + min(summaries, most)*t.summary.newProcess()) * d.summary
	return use{
		gbSeconds:   (startScan + findings + summary) / 1000 * monthDays,
		invocations: invoked * monthDays,
		s3Gets:      day.gets * monthDays,
		s3Puts:      (day.puts + day.lists) * monthDays,
		s3Storage:   repositories * (a.stored + a.visits.written*assumed[versionDays]) / 1e9,
		// Each message is received and deleted, and ten are sent together. A schedule reads how many messages wait.
		sqsRequests: perDay*(2*repositories+math.Ceil(repositories/10)+1)*monthDays + assumed[idlePolling],
		alarms:      d.alarms,
		logs:        (day.logged + invoked*assumed[ownLines]) * monthDays / 1e9,
		traces:      traced * monthDays,
		apiRequests: (feeds + summaries) * monthDays,
	}
}

// cost returns the price of a use, and the price above the free units.
func (p prices) cost(u use, names ...string) (list, free float64) {
	for _, name := range names {
		list += u[name] * p[name].usd
		free += max(0, u[name]-p[name].free) * p[name].usd
	}
	return list, free
}

// item is a column of the tables of costs, and its prices.
type item struct {
	name   string
	prices []string
}

func items() []item {
	return []item{
		{"Lambda", []string{gbSeconds, invocations}}, {"S3", []string{s3Gets, s3Puts, s3Storage}}, {"SQS", []string{sqsRequests}},
		{"alarms", []string{alarms}}, {"logs", []string{logs}}, {"X-Ray", []string{traces}}, {"API Gateway", []string{apiRequests}},
	}
}
