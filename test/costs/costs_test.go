package costs

import (
	"flag"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

var update = flag.Bool("update", false, "write the computed tables into docs/costs.md")

// simulateAll runs all simulations.
func simulateAll(t *testing.T) simulations {
	t.Helper()
	all := simulations{map[dayOf]account{}, map[int]account{}}
	for _, kind := range kinds() {
		for images, days := range map[int]int{1: 4, 10: 2, 100: 1} {
			of := dayOf{kind, images}
			synctest.Test(t, func(t *testing.T) {
				found, err := simulateDays(t.Context(), of, days)
				if err != nil {
					t.Fatal(err)
				}
				all.days[of] = found
			})
		}
	}
	for _, repositories := range []int{10, 100, 1000} {
		synctest.Test(t, func(t *testing.T) {
			found, err := simulateMany(t.Context(), repositories)
			if err != nil {
				t.Fatal(err)
			}
			all.many[repositories] = found
		})
	}
	return all
}

// The tables of docs/costs.md are those that the simulations, the measured times, the assumptions and the prices give. With the list prices,
// 1,000 images in 100 repositories cost at most 4 USD a month.
func TestDocument(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	text := readFile(t, document)
	p, assumed, measured, d := readPrices(t, text), readAssumptions(t, text), readTimes(t, text, readFile(t, operations)), readTemplate(t)
	found := simulateAll(t)
	checkRequests(t, found)
	want := replaceTable(t, text, "Simulations", simulationTable(found))
	for kind, words := range map[ecr.ScanType]string{ecr.Basic: "With basic scanning", ecr.Enhanced: "With enhanced scanning"} {
		var accounts []account
		var uses, idle []use // idle: without requests to the API
		for _, s := range sizes() {
			a := found.account(s, kind)
			accounts, uses = append(accounts, a), append(uses, a.month(assumed, measured, d))
			idle = append(idle, a.month(assumed.without(feedCount, summaryCount), measured, d))
			list, _ := p.cost(uses[len(uses)-1], allPrices()...)
			if s == (size{1_000, 100}) && list > 4 {
				t.Errorf("%s: %s cost %.2f USD a month, want at most 4", words, s, list)
			}
		}
		want = replaceTable(t, want, words, costTable(p, accounts, uses, idle))
		want = replaceTable(t, want, "Use w"+words[1:], useTable(accounts, uses, assumed))
	}
	if *update {
		if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		text = want
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(text, "\n"), cmp.Comparer(isSame)); diff != "" {
		t.Errorf("to correct the tables, run go test ./test/costs -update (-want +document):\n%s", diff)
	}
}

// isSame reports whether two lines differ by at most 1 % of each number, or by 1 in the last place after a decimal point. The sizes of compressed
// objects vary a little, because the ids in them are random.
func isSame(a, b string) bool {
	numbers := regexp.MustCompile(`[0-9][0-9,]*(\.[0-9]+)?`)
	if numbers.ReplaceAllString(a, "0") != numbers.ReplaceAllString(b, "0") {
		return false
	}
	others := numbers.FindAllString(b, -1)
	for i, text := range numbers.FindAllString(a, -1) {
		n, err := strconv.ParseFloat(strings.ReplaceAll(text, ",", ""), 64)
		other, otherErr := strconv.ParseFloat(strings.ReplaceAll(others[i], ",", ""), 64)
		most := 0.01 * max(n, other)
		if _, decimals, found := strings.Cut(text, "."); found {
			most = max(most, 1.01*math.Pow10(-len(decimals)))
		}
		if err != nil || otherErr != nil || math.Abs(n-other) > most {
			return false
		}
	}
	return true
}

func TestIsSame(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"| 1,000 in 10 | 0.12 |", "| 1,009 in 10 | 0.13 |", true}, {"| 1,000 |", "| 1,011 |", false}, {"| 4 |", "| 5 |", false}, {"| 0.12 |", "| 0.14 |", false},
		{"| 1 a |", "| 1 b |", false}, {"| 1 |", "| 1 | 2 |", false}, {"", "", true},
	} {
		if got := isSame(test.a, test.b); got != test.want {
			t.Errorf("%q, %q: %t", test.a, test.b, got)
		}
	}
}

func replaceTable(t *testing.T, text, heading, table string) string {
	t.Helper()
	begin, end := section(t, text, heading)
	return text[:begin] + table + text[end:]
}

// checkRequests checks that the simulations have the calls that docs/operations.md shows for the same requests and visits.
func checkRequests(t *testing.T, found simulations) {
	t.Helper()
	for repositories, many := range found.many {
		// The list of the objects, in pages of 1,000, the suppressions, the copies of all configs, and each record.
		if s := many.summary; s.lists != float64(1+repositories/1000) || s.gets != float64(repositories)+2 || s.ecr != float64(min(repositories, 100)) {
			t.Errorf("summary of %d repositories: %+v", repositories, s)
		}
	}
	for of, day := range found.days {
		// The config, the suppressions, the record, and the histories, which are in few objects.
		if f := day.feed; f.gets < 4 || f.gets > 10 || f.lists != 0 || f.ecr != 1 {
			t.Errorf("feed of %+v: %+v", of, f)
		}
		if reads := day.visits.ecr - perDay; of.kind == ecr.Enhanced && reads != perDay*float64(of.images) {
			t.Errorf("%+v: %v results are read in a day", of, reads)
		}
	}
}

// A visit in which nothing is due waits as long in the simulation as in `make bench`. So both have the same latencies.
func TestWaiting(t *testing.T) {
	visit := readTimes(t, readFile(t, document), readFile(t, operations)).visit
	synctest.Test(t, func(t *testing.T) {
		s, err := newSimulation(t.Context(), ecr.Basic, 1, visitImages)
		if err != nil {
			t.Fatal(err)
		}
		var used usage
		for range 3 { // the first visit reads and stores results
			messages, _, err := s.schedule(t.Context())
			if err == nil {
				used, err = s.visit(t.Context(), messages)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if used.waiting != visit.floor || used.ecr != 1 || used.gets != 3 || used.puts+used.lists != 0 {
			t.Errorf("%+v, want to wait %v ms", used, visit.floor)
		}
	})
}

// A month has the calls, the time and the traces of the visits and of the requests to the API.
func TestMonth(t *testing.T) {
	a := account{
		size: size{100, 10}, kind: ecr.Basic, schedule: usage{lists: 240, waiting: 1}, visits: usage{gets: 150, puts: 50, ecr: 60, waiting: 4000, written: 5e6, logged: 1000},
		feed: usage{gets: 4, waiting: 75}, summary: usage{gets: 11, lists: 1, waiting: 75}, stored: 1e6,
	}
	assumed := assumptions{feedCount: 24, summaryCount: 100, processTime: 10, versionDays: 2, ownLines: 700, idlePolling: 1000, tracedShare: 0.05}
	measured := times{
		schedule: measured{95, 128, 145, 190}, visit: measured{60, 71, 98, 210}, store: measured{75, 89, 119, 210}, first: measured{195, 606, 1000, 220},
		feed: measured{75, 108, 174, 147}, summary: measured{75, 74, 178, 320}, page: map[int]float64{10: 0.5}, image: map[ecr.ScanType]float64{ecr.Basic: 0, ecr.Enhanced: 1},
	}
	d := deployed{startScan: 0.5, summary: 0.5, findings: 1, concurrency: 5, alarms: 7}
	const share = 512.0 / 1769
	visits := 10*(4000+48*11+50*3) + 100*2.0
	startScan := visits + 48*(5*237+207) + 48*128
	findings := 240*(75+33.0) + 144*213
	summary := 100*(75+10*0.5/share) + 100*424
	want := use{
		gbSeconds:   (startScan/2 + findings + summary/2) / 1000 * monthDays,
		invocations: (48*11 + 240 + 100) * monthDays,
		s3Gets:      (1500 + 240*4 + 100*11) * monthDays,
		s3Puts:      (500 + 240 + 100) * monthDays,
		s3Storage:   10 * (1e6 + 10e6) / 1e9,
		sqsRequests: 48*(20+1+1)*monthDays + 1000,
		alarms:      7,
		logs:        (10_000 + (48*11+340)*700) * monthDays / 1e9,
		traces:      (48*(1+1.5) + 340) * monthDays,
		apiRequests: 340 * monthDays,
	}
	equal := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Abs(a) })
	if diff := cmp.Diff(want, a.month(assumed, measured, d), equal); diff != "" {
		t.Errorf("basic scanning (-want +got):\n%s", diff)
	}
	a.kind = ecr.Enhanced // starts no scans, and reads each result in each visit
	want[gbSeconds] += (48*100/share - 200) / 2 / 1000 * monthDays
	got := a.month(assumed, measured, d)
	delete(got, traces) // depends on the time of the visits
	delete(want, traces)
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Errorf("enhanced scanning (-want +got):\n%s", diff)
	}
}

func allPrices() (names []string) {
	for _, item := range items() {
		names = append(names, item.prices...)
	}
	return names
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
