package costs

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

const (
	document   = "../../docs/costs.md"
	operations = "../../docs/operations.md"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section returns the place of the first table below a heading of a document.
func section(t *testing.T, text, heading string) (begin, end int) {
	t.Helper()
	at := strings.Index(text, "# "+heading+"\n")
	if at < 0 {
		t.Fatalf("no heading %q", heading)
	}
	begin = at + strings.Index(text[at:], "\n| ") + 1
	length := strings.Index(text[begin:]+"\n\n", "\n\n") + 1
	return begin, min(begin+length, len(text))
}

// cells returns the rows of all tables below a heading, by their first cell.
func cells(t *testing.T, text, heading string) map[string][]string {
	t.Helper()
	_, text, found := strings.Cut(text, "# "+heading+"\n")
	if !found {
		t.Fatalf("no heading %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n#")
	rows := map[string][]string{}
	header := true
	for line := range strings.Lines(text) {
		row := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		switch {
		case !strings.HasPrefix(line, "|"):
			header = true
		case row[0] == "---":
			header = false
		case !header:
			rows[row[0]] = row
		}
	}
	return rows
}

// number reads the first number that a pattern finds in a text.
func number(t *testing.T, text, pattern string) float64 {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("no %s in %.200q", pattern, text)
	}
	n, err := strconv.ParseFloat(strings.ReplaceAll(match[1], ",", ""), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const anyNumber = `^([0-9.,]+)$`

func readPrices(t *testing.T, text string) prices {
	t.Helper()
	all := prices{}
	for name, row := range cells(t, text, "Prices") {
		p := price{usd: number(t, row[1], anyNumber) / number(t, row[2], anyNumber)}
		if row[3] != "" {
			p.free = number(t, row[3], anyNumber)
		}
		all[name] = p
	}
	for _, name := range append(allPrices(), metrics, firstScans, rescans) {
		if all[name].usd == 0 {
			t.Errorf("the document has no price %q", name)
		}
	}
	return all
}

func readAssumptions(t *testing.T, text string) assumptions {
	t.Helper()
	all := assumptions{}
	for name, row := range cells(t, text, "Assumptions") {
		all[name] = number(t, row[1], anyNumber)
	}
	for _, name := range []string{feedCount, summaryCount, processTime, versionDays, ownLines, idlePolling, tracedShare} {
		if all[name] == 0 {
			t.Errorf("the document has no assumption %q", name)
		}
	}
	return all
}

// readTimes reads the times of docs/operations.md, and those of docs/costs.md that the benchmark of this package measured.
func readTimes(t *testing.T, costs, operations string) times {
	t.Helper()
	bench := cells(t, operations, "Figures of make bench")
	job := func(name string) measured {
		row := bench[name]
		if row == nil {
			t.Fatalf("no figures of %q", name)
		}
		return measured{number(t, row[1], `^(\d+) ms$`), number(t, row[2], `\((\d+) ms\)$`), number(t, row[3], `\((\d+) ms\)$`), number(t, row[10], `^(\d+) ms$`)}
	}
	all := times{schedule: job(scheduleJob), visit: job(visitJob), store: job(storeJob), first: job(firstJob), feed: job(feedJob), summary: job(summaryJob)}
	all.page, all.image = map[int]float64{}, map[ecr.ScanType]float64{}
	const repositories = 1000
	for _, images := range []int{1, 10, 100} {
		row := cells(t, operations, "Figures of make growth")[strconv.Itoa(images*repositories)+" in "+strconv.Itoa(repositories)]
		all.page[images] = 1000 * number(t, row[4], `^([0-9.]+) s,`) / repositories
	}
	for kind, name := range imageTimes() {
		all.image[kind] = number(t, cells(t, costs, "Times")[name][1], anyNumber)
	}
	return all
}

func imageTimes() map[ecr.ScanType]string {
	return map[ecr.ScanType]string{ecr.Basic: "an image that is not due, basic scanning", ecr.Enhanced: "an image whose result is read again, enhanced scanning"}
}

// readTemplate reads what template.yaml sets.
func readTemplate(t *testing.T) deployed {
	t.Helper()
	text := readFile(t, "../../template.yaml")
	if !strings.Contains(text, "Default: rate(30 minutes)\n") {
		t.Error("the template has another schedule")
	}
	memory := func(function string) float64 {
		_, after, _ := strings.Cut(text, "\n  "+function+":\n")
		settings, _, _ := strings.Cut(after, "Policies:")
		if !strings.Contains(settings, "MemorySize:") {
			_, settings, _ = strings.Cut(text, "\nGlobals:\n")
		}
		return number(t, settings, `MemorySize: (\d+)`) / 1024
	}
	return deployed{
		startScan: memory("StartScanFunc"), summary: memory("SummaryFunc"), findings: memory("FindingsFunc"),
		concurrency: number(t, text, `ScanConcurrency:\n    Type: Number\n    Default: (\d+)`), alarms: float64(strings.Count(text, "Type: AWS::CloudWatch::Alarm")),
	}
}
