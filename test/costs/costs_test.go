package costs

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the computed tables into docs/costs.md")

const document = "../../docs/costs.md"

// section returns the place of the first table below a heading of the document.
func section(t *testing.T, text, heading string) (begin, end int) {
	t.Helper()
	at := strings.Index(text, "\n## "+heading+"\n")
	if at < 0 {
		t.Fatalf("no heading %q", heading)
	}
	begin = at + strings.Index(text[at:], "\n| ") + 1
	length := strings.Index(text[begin:]+"\n\n", "\n\n") + 1
	return begin, min(begin+length, len(text))
}

// cells returns the cells of the table below a heading, without the header.
func cells(t *testing.T, text, heading string) (rows [][]string) {
	t.Helper()
	begin, end := section(t, text, heading)
	for i, line := range strings.Split(strings.TrimSpace(text[begin:end]), "\n") {
		if i < 2 {
			continue
		}
		row := strings.Split(strings.Trim(line, "|"), "|")
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		rows = append(rows, row)
	}
	return rows
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(strings.ReplaceAll(text, ",", ""), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func readPrices(t *testing.T, text string) prices {
	t.Helper()
	all := prices{}
	for _, row := range cells(t, text, "Prices") {
		p := price{usd: number(t, row[1]) / number(t, row[2])}
		if row[3] != "" {
			p.free = number(t, row[3])
		}
		all[row[0]] = p
	}
	for _, item := range items() {
		for _, name := range append(item.prices, metrics, firstScans, rescans) {
			if all[name].usd == 0 {
				t.Errorf("the document has no price %q", name)
			}
		}
	}
	return all
}

func readTimes(t *testing.T, text string) times {
	t.Helper()
	all := times{}
	for _, row := range cells(t, text, "Figures") {
		all[row[0]] = number(t, row[1])
	}
	for _, name := range []string{
		scheduleTime, visitTime, storeTime, imageTime, coldTime, apiTime, apiCount, memory, apiMemory, concurrency, ownLines, idlePolling, tracedShare, alarmCount,
	} {
		if all[name] == 0 {
			t.Errorf("the document has no figure %q", name)
		}
	}
	return all
}

// The tables of docs/costs.md are those that the simulated days, the document's figures and its prices give. With the list prices, 1,000
// images in 100 repositories cost at most 4 USD a month.
func TestDocument(t *testing.T) {
	bytes, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	text := string(bytes)
	p, figures := readPrices(t, text), readTimes(t, text)
	var schedule usage
	visits := map[int]usage{}
	for _, images := range []int{1, 10, 100} {
		synctest.Test(t, func(t *testing.T) {
			var err error
			var ofVisits usage
			if schedule, ofVisits, err = simulate(t.Context(), images, 4); err != nil {
				t.Fatal(err)
			}
			visits[images] = ofVisits
		})
	}
	uses, ecrCalls := map[size]use{}, map[size]float64{}
	for _, s := range sizes() {
		uses[s] = month(s, figures, schedule, visits[s.perRepository()])
		ecrCalls[s] = visits[s.perRepository()].ecr * float64(s.repositories)
	}
	want := text
	for heading, table := range map[string]string{
		"Costs": costTable(p, uses), "Use": useTable(uses, ecrCalls), "Simulated days": dayTable(schedule, visits),
	} {
		begin, end := section(t, want, heading)
		want = want[:begin] + table + want[end:]
	}
	if *update {
		if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		text = want
	}
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("to correct the tables, run go test ./test/costs -update (-want +document):\n%s", diff)
	}
	if list, _ := p.cost(uses[size{1_000, 100}], allPrices()...); list > 4 {
		t.Errorf("1,000 images in 100 repositories cost %.2f USD a month, want at most 4", list)
	}
}

func allPrices() (names []string) {
	for _, item := range items() {
		names = append(names, item.prices...)
	}
	return names
}

// The figures of the document that are in the template are those of the template.
func TestFiguresOfTheTemplate(t *testing.T) {
	bytes, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	figures := readTimes(t, string(bytes))
	template, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(template), "Type: AWS::CloudWatch::Alarm"); float64(n) != figures[alarmCount] {
		t.Errorf("%d alarms", n)
	}
	for _, text := range []string{
		fmt.Sprintf("    MemorySize: %.0f\n", 1024*figures[memory]), fmt.Sprintf("      MemorySize: %.0f\n", 1024*figures[apiMemory]), "Default: rate(30 minutes)\n", fmt.Sprintf("ScanConcurrency:\n    Type: Number\n    Default: %.0f\n", figures[concurrency]),
	} {
		if !strings.Contains(string(template), text) {
			t.Errorf("the template has no %q", text)
		}
	}
}

func TestCost(t *testing.T) {
	p := prices{"a": {2, 10}, "b": {0.5, 0}}
	for _, test := range []struct {
		use        use
		list, free float64
	}{{use{"a": 5}, 10, 0}, {use{"a": 12, "b": 4}, 26, 6}, {use{}, 0, 0}} {
		if list, free := p.cost(test.use, "a", "b"); list != test.list || free != test.free {
			t.Errorf("%v: %v and %v", test.use, list, free)
		}
	}
	for n, want := range map[float64]string{0: "0", 999.4: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%v: %s", n, got)
		}
	}
}
