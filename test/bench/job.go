package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"ecr-continuous-scan/test/lambdaruntime"
)

// maxAge is the maximum age of records in a job. It is a little more than the time after which a visit stores its begin.
const maxAge = 61 * time.Minute

// chain is the longest sequence of calls to AWS that had to follow each other when the goals were set. It stays as it is, so that the figures of
// different commits can be compared.
type chain struct{ s3, ecr, sqs int }

// floor returns the time of the calls. A job that makes fewer calls now can be faster.
func (c chain) floor() time.Duration {
	return time.Duration(c.s3)*s3Latency + time.Duration(c.ecr)*ecrLatency + time.Duration(c.sqs)*sqsLatency
}

// job is a request that is measured.
type job struct {
	name     string
	title    string // for the table
	function string
	world    World
	// age is the time since the last visit of the repositories.
	age   time.Duration
	chain chain
	// goalWarm and goalCold are the times to reach, as multiples of the floor. 0 means that there is no goal.
	goalWarm, goalCold float64
	// get is the path of a GET request. In it, {scanid} is the scan ID of the first config. Without get, the event is a
	// message of a visit or, if schedule is true, that of a schedule.
	get string
	// conditional means that the request has the ETag of an earlier answer.
	conditional bool
	schedule    bool
	// check returns an error if the answer or the calls are not those of the job. Then the figures would have no meaning.
	check func(answer, Calls) error
}

// Ages of records. Before 5 minutes, a read does not call ECR. The usual age is up to 30 minutes.
const (
	young = time.Minute
	usual = 20 * time.Minute
)

// jobs returns all jobs. divisor divides the numbers of configs, images and findings: a test uses small numbers.
func jobs(divisor int) []job {
	return append(readJobs(divisor), visitJobs(divisor)...)
}

// readJobs returns the jobs of the API.
func readJobs(divisor int) []job {
	n := func(n int) int { return max(n/divisor, 2) }
	configs := World{Repositories: n(300)}
	summary200 := World{Repositories: n(10), Images: n(20), Findings: 5, ScannedAgo: time.Hour, Visited: true}
	summary2000 := World{Repositories: n(20), Images: n(100), Findings: 5, ScannedAgo: time.Hour, Visited: true}
	feed1200 := World{Repositories: 1, Images: 1, Findings: n(1200), ScannedAgo: time.Hour, Visited: true}
	feed250 := World{Repositories: 1, Images: n(250), Findings: 3, ScannedAgo: time.Hour, Visited: true}
	all := []job{{
		// The list of the objects, and the objects.
		name: "configs", title: "`GET /configs` of 300", function: "configs", world: configs, age: young, chain: chain{s3: 2},
		goalWarm: 1.4, goalCold: 2.2, get: "/configs", check: contains(`"repository":`, configs.Repositories),
	}}
	for _, j := range []job{{
		// The list of the objects, the configs and the records.
		name: "summary-200", title: "summary of 200 images in 10 repositories", function: "summary", world: summary200, chain: chain{s3: 3},
		goalWarm: 1.1, goalCold: 1.6, get: "/summary", check: contains("Results for ", summary200.Repositories*summary200.Images),
	}, {
		name: "summary-2000", title: "summary of 2,000 images in 20 repositories", function: "summary", world: summary2000, chain: chain{s3: 3},
		goalWarm: 1.2, goalCold: 2, get: "/summary", check: contains("Results for ", summary2000.Repositories*summary2000.Images),
	}, {
		// The config, the record and the history.
		name: "feed-1200", title: "feed of 1,200 findings", function: "findings", world: feed1200, chain: chain{s3: 3},
		goalWarm: 1.7, goalCold: 3, get: "/findings/{scanid}", check: contains("<entry>", min(feed1200.Findings, entriesOfPage)),
	}, {
		name: "feed-1200-304", title: "the same, not modified (304)", function: "findings", world: feed1200, chain: chain{s3: 3},
		goalWarm: 1.2, get: "/findings/{scanid}", conditional: true, check: notModified,
	}, {
		// The config, the record and the histories, which are more than there are calls at once.
		name: "feed-250", title: "feed of 250 tags × 3 findings", function: "findings", world: feed250, chain: chain{s3: 4},
		goalWarm: 2, goalCold: 4, get: "/findings/{scanid}", check: contains("<entry>", min(feed250.Images*feed250.Findings, entriesOfPage)),
	}} {
		all = append(all, atBothAges(j)...)
	}
	return all
}

// visitJobs returns the jobs of StartScanFunc.
func visitJobs(divisor int) []job {
	n := func(n int) int { return max(n/divisor, 2) }
	visited := World{Repositories: n(10), Images: n(20), Findings: 5, ScannedAgo: time.Hour, Visited: true}
	visitedOnce, notVisited := visited, World{Images: n(200), Findings: 5, ScannedAgo: 25 * time.Hour}
	visitedOnce.Repositories = 0
	return []job{{
		// The list of the objects, the configs, three lists of the folders of records, the number of waiting messages, and
		// the messages.
		name: "schedule", title: "schedule of 10 repositories", function: "startscan", world: visited, age: usual,
		chain: chain{s3: 5, sqs: 2}, schedule: true, check: sends,
	}, {
		// The record, the config and the images.
		name: "visit", title: "visit of 20 images, nothing due", function: "startscan", world: visited, age: usual,
		chain: chain{s3: 2, ecr: 1}, goalWarm: 1.4, goalCold: 2.5, check: visits(0, false),
	}, {
		// The record, the config, the images, and the record.
		name: "visit-stores", title: "the same, an hour after the record was stored", function: "startscan", world: visitedOnce, age: maxAge,
		chain: chain{s3: 3, ecr: 1}, goalWarm: 1.4, goalCold: 2.5, check: visits(0, true),
	}, {
		// The record, the config, the images, their findings, their histories, the record, their starts, the histories and the record again. There was
		// another call to S3 when the goals were set.
		name: "visit-first", title: "first visit of 200 images, all due", function: "startscan", world: notVisited, age: usual,
		chain: chain{s3: 7, ecr: 3}, goalWarm: 3.5, goalCold: 5, check: visits(notVisited.Images, true),
	}}
}

// atBothAges returns a read with young records and one with records of the usual age, for which ECR lists the tags.
func atBothAges(j job) []job {
	older := j
	j.age, older.age = young, usual
	older.name += "-20min"
	older.title += ", records of 20 minutes"
	older.chain.ecr++
	return []job{j, older}
}

// entriesOfPage is the maximum number of entries of a page of a feed.
const entriesOfPage = 500

// contains checks a response to a GET request.
func contains(text string, n int) func(answer, Calls) error {
	return func(a answer, _ Calls) error {
		if got := strings.Count(a.Body, text); a.Status != http.StatusOK || got != n {
			return fmt.Errorf("status %d, %q is in the answer %d times, want %d: %.300s", a.Status, text, got, n, a.Body)
		}
		return nil
	}
}

func notModified(a answer, _ Calls) error {
	if a.Status != http.StatusNotModified {
		return fmt.Errorf("status %d, want 304", a.Status)
	}
	return nil
}

// sends checks the calls of a schedule.
func sends(_ answer, c Calls) error {
	if c.SQS["SendMessageBatch"] == 0 {
		return fmt.Errorf("no message was sent; calls: %v", c)
	}
	return nil
}

// visits checks the calls of a visit, because a failed visit is not an error of the function.
func visits(started int, stores bool) func(answer, Calls) error {
	return func(_ answer, c Calls) error {
		if c.ECR["DescribeImages"] == 0 || c.ECR["StartImageScan"] != started || (c.S3["PutObject"] > 0) != stores {
			return fmt.Errorf("want DescribeImages, %d × StartImageScan, and PutObject: %t; calls: %v", started, stores, c)
		}
		return nil
	}
}

// event returns the event of the n-th request to a deployment.
func (j job) event(d *deployment, n int, etag string) (any, error) {
	switch {
	case j.get != "":
		header := http.Header{}
		if j.conditional && etag != "" {
			header.Set("If-None-Match", etag)
		}
		return httpEvent(http.MethodGet, strings.Replace(j.get, "{scanid}", d.ids[0], 1), j.get, header, nil)
	case j.schedule:
		return lambdaruntime.ScheduleEvent(), nil
	}
	return visitEvent(d.messages[n%len(d.messages)]), nil
}
