// Package costs computes what the service costs in a month: the calls of simulated days and the measured times of the functions, multiplied
// by AWS's list prices. docs/costs.md has the prices, the measured times and the results. A test keeps them equal.
package costs

import (
	"fmt"
	"math"
	"strings"
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
	sqsRequests = "SQS, request (FIFO)"
	metrics     = "CloudWatch, custom metric"
	alarms      = "CloudWatch, alarm"
	logs        = "CloudWatch, GB of logs"
	traces      = "X-Ray, trace"
	apiRequests = "API Gateway, request"
	firstScans  = "Inspector, first scan of an image"
	rescans     = "Inspector, further scan"
)

// times are the measured and assumed figures by name, as the first column of their table in docs/costs.md.
type times map[string]float64

// Names of figures.
const (
	scheduleTime = "schedule of 10 repositories, ms"
	visitTime    = "visit of 20 images, nothing due, ms"
	storeTime    = "storing an object, ms"
	imageTime    = "reading and starting one scan, ms"
	coldTime     = "start of a process and its first request, ms more than another request"
	apiTime      = "request to the API, ms"
	apiCount     = "requests to the API, a month"
	memory       = "memory of StartScanFunc, GB"
	apiMemory    = "memory of ConfigsFunc and FindingsFunc, GB"
	concurrency  = "visits at once"
	ownLines     = "bytes that Lambda itself logs for an invocation"
	idlePolling  = "requests of Lambda to an empty queue, a month"
	tracedShare  = "share of the invocations that X-Ray records, in addition to one each second"
	alarmCount   = "alarms"
)

// use is what an account uses in a month, by the name of the price.
type use map[string]float64

// month returns the use of a month. visits and schedule are those of a day of one repository.
func month(s size, t times, schedule, visits usage) use {
	const perDay = float64(schedules)
	repositories := float64(s.repositories)
	day := visits.times(repositories)
	processes := min(t[concurrency], repositories) + 1
	milliseconds := repositories*perDay*t[visitTime] + day.puts*t[storeTime] + float64(s.images)*t[imageTime] +
		perDay*t[scheduleTime]*max(1, repositories/10) + perDay*processes*t[coldTime]
	count := perDay * (repositories + 1)
	seconds := math.Ceil(repositories * t[visitTime] / 1000 / t[concurrency])
	traced := perDay * (1 + min(repositories, seconds+t[tracedShare]*repositories))
	return use{
		gbSeconds:   (milliseconds*monthDays*t[memory] + t[apiCount]*t[apiTime]*t[apiMemory]) / 1000,
		invocations: count*monthDays + t[apiCount],
		s3Gets:      (day.gets+schedule.gets)*monthDays + 3*t[apiCount],
		s3Puts:      (day.puts + day.lists + schedule.lists) * monthDays,
		// Each message is received and deleted, and ten are sent together. A schedule reads how many messages wait.
		sqsRequests: perDay*(2*repositories+math.Ceil(repositories/10)+1)*monthDays + t[idlePolling],
		alarms:      t[alarmCount],
		logs:        ((day.logged+schedule.logged+count*t[ownLines])*monthDays + t[apiCount]*t[ownLines]) / 1e9,
		traces:      traced * monthDays,
		apiRequests: t[apiCount],
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

// items are the columns of the table of costs, and the prices of each.
func items() []struct {
	name   string
	prices []string
} {
	return []struct {
		name   string
		prices []string
	}{
		{"Lambda", []string{gbSeconds, invocations}}, {"S3", []string{s3Gets, s3Puts}}, {"SQS", []string{sqsRequests}}, {"alarms", []string{alarms}},
		{"logs", []string{logs}}, {"X-Ray", []string{traces}}, {"API", []string{apiRequests}},
	}
}

// costTable returns the costs of a month by item.
func costTable(p prices, uses map[size]use) string {
	header := []string{"images and repositories"}
	for _, item := range items() {
		header = append(header, item.name)
	}
	rows := [][]string{append(header, "total", "with the free tier", "in addition, only with enhanced scanning: Inspector, one scan a day")}
	for _, s := range sizes() {
		row := []string{s.String()}
		var list, free float64
		for _, item := range items() {
			l, f := p.cost(uses[s], item.prices...)
			row, list, free = append(row, usd(l)), list+l, free+f
		}
		inspector := float64(s.images) * monthDays * p[rescans].usd
		rows = append(rows, append(row, "**"+usd(list)+"**", usd(free), thousands(inspector)))
	}
	return markdown(rows)
}

// useTable returns the calls and GB-seconds of a day and of a month.
func useTable(uses map[size]use, ecrCalls map[size]float64) string {
	rows := [][]string{{"images and repositories", "visits", "calls to ECR", "S3 GET", "S3 PUT and LIST", "SQS", "GB-s", "logs, MB"}}
	for _, s := range sizes() {
		u := uses[s]
		cell := func(n float64) string { return thousands(n/monthDays) + " / " + thousands(n) }
		rows = append(rows, []string{
			s.String(), cell(float64(schedules*s.repositories) * monthDays), cell(ecrCalls[s] * monthDays), cell(u[s3Gets]), cell(u[s3Puts]), cell(u[sqsRequests]),
			cell(u[gbSeconds]), cell(u[logs] * 1000),
		})
	}
	return markdown(rows)
}

// dayTable returns what a day of a repository uses.
func dayTable(schedule usage, visits map[int]usage) string {
	rows := [][]string{{"a day of", "calls to ECR", "S3 GET", "S3 PUT", "S3 LIST", "bytes logged"}}
	row := func(name string, u usage) {
		cells := []string{name}
		for _, n := range []float64{u.ecr, u.gets, u.puts, u.lists, u.logged} {
			cells = append(cells, thousands(n))
		}
		rows = append(rows, cells)
	}
	row("48 schedules", schedule)
	for _, images := range []int{1, 10, 100} {
		row(fmt.Sprintf("48 visits, images: %d", images), visits[images])
	}
	return markdown(rows)
}

func usd(n float64) string { return fmt.Sprintf("%.2f", n) }

// thousands formats a number without decimals, with commas.
func thousands(n float64) string {
	text := fmt.Sprintf("%.0f", n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

func markdown(rows [][]string) string {
	var text strings.Builder
	for i, row := range rows {
		text.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			text.WriteString("|" + strings.Repeat(" --- |", len(row)) + "\n")
		}
	}
	return text.String()
}
