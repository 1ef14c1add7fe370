package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// result is a measured job. It has figures of one or two builds.
type result struct {
	job     job
	figures []figures
}

// report is what the program prints.
type report struct {
	results  []result
	quota    bool
	markdown bool
	// pageTime is the time that the machine needs for the first use of a page of memory.
	pageTime time.Duration
}

// columns are the names of the columns. docs/operations.md explains them.
func columns() []string {
	return []string{"job", "floor", "warm", "cold", "goal", "processor time", "new pages", "S3 + ECR + SQS", "memory", "GB-s of 1,000", "start", "answer"}
}

// writeReport writes a table with a row for each job and build, and with two builds a row of ratios.
func writeReport(out io.Writer, r report) error {
	rows := [][]string{columns()}
	for _, one := range r.results {
		title := one.job.name
		if r.markdown {
			title = one.job.title
		}
		for _, f := range one.figures {
			name := title
			if len(one.figures) > 1 {
				name += ", " + f.build
			}
			rows = append(rows, append([]string{name}, one.job.row(f)...))
		}
		if len(one.figures) > 1 {
			rows = append(rows, append([]string{title + ", ratio"}, ratios(one.figures[0], one.figures[1])...))
		}
	}
	var text strings.Builder
	if r.markdown {
		writeMarkdown(&text, rows)
	} else {
		writeText(&text, rows)
	}
	text.WriteString("\n" + r.summary())
	_, err := io.WriteString(out, text.String())
	return err
}

// row returns the cells of a build. Figures with a slash are those of a warm process and of a new one.
func (j job) row(f figures) []string {
	floor := j.chain.floor()
	times := func(s sample) string {
		return fmt.Sprintf("%.2f × (%s ms)", float64(s.time)/float64(floor), decimal(milliseconds(s.time)))
	}
	return []string{
		decimal(milliseconds(floor)) + " ms", times(f.warm), times(f.cold), j.goal(f),
		fmt.Sprintf("%s / %s ms", decimal(milliseconds(f.warm.processor)), decimal(milliseconds(f.cold.processor))),
		fmt.Sprintf("%d / %d", f.warm.pages, f.cold.pages),
		fmt.Sprintf("%s / %s", f.warm.calls, f.cold.calls), fmt.Sprintf("%d of %d MB", f.peak>>20, f.memory),
		decimal(f.gigabyteSeconds(1000)), decimal(milliseconds(f.cold.start)) + " ms", size(f.warm.bytes),
	}
}

// goal returns the goals of the job, with an exclamation mark if a figure does not reach them. The goal for the memory is half
// of the function's memory.
func (j job) goal(f figures) string {
	var goals []string
	for _, g := range []struct {
		most float64
		time time.Duration
	}{{j.goalWarm, f.warm.time}, {j.goalCold, f.cold.time}} {
		goal := "–"
		if g.most > 0 {
			goal = strconv.FormatFloat(g.most, 'f', -1, 64)
			if float64(g.time) > g.most*float64(j.chain.floor()) {
				goal += "!"
			}
		}
		goals = append(goals, goal)
	}
	text := strings.Join(goals, " / ")
	if f.peak > int64(f.memory)<<20/2 {
		text += ", memory!"
	}
	return text
}

// ratios returns the cells that compare two builds. Below 1, the first build needs less.
func ratios(a, b figures) []string {
	ratio := func(x, y float64) string {
		if x == y { // also if both are 0
			return "1.00"
		}
		return fmt.Sprintf("%.2f", x/y)
	}
	return []string{
		"", ratio(float64(a.warm.time), float64(b.warm.time)), ratio(float64(a.cold.time), float64(b.cold.time)), "",
		ratio(float64(a.warm.processor), float64(b.warm.processor)) + " / " + ratio(float64(a.cold.processor), float64(b.cold.processor)),
		ratio(float64(a.warm.pages), float64(b.warm.pages)) + " / " + ratio(float64(a.cold.pages), float64(b.cold.pages)),
		ratio(float64(a.warm.calls.sum()), float64(b.warm.calls.sum())) + " / " + ratio(float64(a.cold.calls.sum()), float64(b.cold.calls.sum())),
		ratio(float64(a.peak), float64(b.peak)), ratio(a.gigabyteSeconds(1), b.gigabyteSeconds(1)),
		ratio(float64(a.cold.start), float64(b.cold.start)), ratio(float64(a.warm.bytes), float64(b.warm.bytes)),
	}
}

// summary returns the sentences below the table.
func (r report) summary() string {
	text := fmt.Sprintf("S3 responds after %d ms, ECR after %d ms and SQS after %d ms. ", s3Latency.Milliseconds(), ecrLatency.Milliseconds(), sqsLatency.Milliseconds())
	if r.quota {
		text += fmt.Sprintf("A cgroup quota for each %d ms limits the functions to the share of a processor that their memory buys.\n", quotaPeriod.Milliseconds())
	} else {
		text += "There was no cgroup quota. The times are estimates: the time of waiting, and the processor time divided by the share of a processor that the memory buys.\n"
	}
	text += fmt.Sprintf("The first use of a page of memory takes %.1f µs on this machine.\n", float64(r.pageTime)/float64(time.Microsecond))
	if len(r.results) == 0 || len(r.results[0].figures) < 2 {
		return text
	}
	var warm, cold [2]time.Duration
	for _, one := range r.results {
		for i, f := range one.figures {
			warm[i] += f.warm.processor
			cold[i] += f.cold.processor
		}
	}
	return text + fmt.Sprintf("Processor time of all jobs, as a share of the other build: %.2f warm, %.2f cold.\n",
		float64(warm[0])/float64(warm[1]), float64(cold[0])/float64(cold[1]))
}

func writeMarkdown(text *strings.Builder, rows [][]string) {
	for i, row := range rows {
		text.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			text.WriteString("|" + strings.Repeat(" --- |", len(row)) + "\n")
		}
	}
}

func writeText(text *strings.Builder, rows [][]string) {
	w := tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t")) // a Builder returns no error
	}
	_ = w.Flush()
}

// String returns the numbers of calls to S3, ECR and SQS.
func (c Calls) String() string {
	return fmt.Sprintf("%d+%d+%d", total(c.S3), total(c.ECR), total(c.SQS))
}

func (c Calls) sum() int { return total(c.S3) + total(c.ECR) + total(c.SQS) }

// decimal returns a number with about two digits.
func decimal(x float64) string {
	if x < 9.95 {
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 0, 64)
}

func size(bytes int) string {
	if bytes < 10_000 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%d kB", bytes/1000)
}
