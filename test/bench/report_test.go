package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func example() report {
	j := job{name: "configs", title: "`GET /configs` of 300", chain: chain{s3: 2}, goalWarm: 1.4, goalCold: 2.2}
	calls := func(n int) Calls { return Calls{S3: map[string]int{"GetObject": n - 1, "ListObjectsV2": 1}} }
	ms := func(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }
	this := figures{
		build: "this", memory: 256, peak: 30 << 20,
		warm: sample{time: ms(36), processor: ms(4), pages: 12, calls: calls(1), bytes: 57_912},
		cold: sample{time: ms(75), processor: ms(12.25), pages: 300, calls: calls(2), bytes: 57_912, start: ms(25)},
	}
	other := figures{
		build: "other", memory: 256, peak: 150 << 20,
		warm: sample{time: ms(288), processor: ms(50), pages: 24, calls: calls(301), bytes: 57_912},
		cold: sample{time: ms(990), processor: ms(98), pages: 600, calls: calls(301), bytes: 57_912, start: ms(20)},
	}
	return report{results: []result{{j, []figures{this, other}}}, quota: true, pageTime: 1500 * time.Nanosecond}
}

func TestReport(t *testing.T) {
	r := example()
	one := example()
	one.results[0].figures, one.quota = one.results[0].figures[:1], false
	one.markdown = true
	for want, r := range map[string]report{
		`job             floor  warm             cold              goal                  processor time  new pages    S3 + ECR + SQS   memory         GB-s of 1,000  start  answer
configs, this   30 ms  1.20 × (36 ms)   2.50 × (75 ms)    1.4 / 2.2!            4.0 / 12 ms     12 / 300     1+0+0 / 2+0+0    30 of 256 MB   9.0            25 ms  57 kB
configs, other  30 ms  9.60 × (288 ms)  33.00 × (990 ms)  1.4! / 2.2!, memory!  50 / 98 ms      24 / 600     301+0+0 / 301+0+0  150 of 256 MB  72             20 ms  57 kB
configs, ratio         0.12             0.08                                    0.08 / 0.12     0.50 / 0.50  0.00 / 0.01      0.20           0.12           1.25   1.00

S3 responds after 15 ms, ECR after 30 ms and SQS after 10 ms. A cgroup quota for each 20 ms limits the functions to the share of a processor that their memory buys.
The first use of a page of memory takes 1.5 µs on this machine.
Processor time of all jobs, as a share of the other build: 0.08 warm, 0.12 cold.
`: r,
		"| job | floor | warm | cold | goal | processor time | new pages | S3 + ECR + SQS | memory | GB-s of 1,000 | start | answer |\n" +
			"| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n" +
			"| `GET /configs` of 300 | 30 ms | 1.20 × (36 ms) | 2.50 × (75 ms) | 1.4 / 2.2! | 4.0 / 12 ms | 12 / 300 | 1+0+0 / 2+0+0 | 30 of 256 MB | 9.0 | 25 ms | 57 kB |\n" +
			"\nS3 responds after 15 ms, ECR after 30 ms and SQS after 10 ms. There was no cgroup quota. The times are estimates: the time of waiting, " +
			"and the processor time divided by the share of a processor that the memory buys.\nThe first use of a page of memory takes 1.5 µs on this machine.\n": one,
	} {
		var got strings.Builder
		if err := writeReport(&got, r); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(columnsOf(want), columnsOf(got.String())); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

// Without calls or an answer in both builds, the ratio is 1.
func TestRatioOfNothing(t *testing.T) {
	for _, cell := range ratios(figures{}, figures{}) {
		if cell != "" && strings.Trim(cell, "1.0 /") != "" {
			t.Errorf("ratio %q", cell)
		}
	}
}

// columnsOf replaces the space between columns, whose width does not matter.
func columnsOf(table string) []string {
	var rows []string
	for row := range strings.Lines(table) {
		rows = append(rows, strings.Join(strings.Fields(row), " "))
	}
	return rows
}
