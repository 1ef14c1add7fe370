package costs

import (
	"flag"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

var printTimes = flag.Bool("times", false, "measure and print the times of docs/costs.md in TestTimes")

// TestTimes measures how much more processor time a visit needs for each image, and prints the table of docs/costs.md. The embedded ECR is in the
// same process, so this includes its time. It leaves out TLS.
func TestTimes(t *testing.T) {
	if !*printTimes {
		t.Skip("measures only with -times")
	}
	for _, kind := range kinds() {
		const few, many = visitImages, 200
		perImage := (timeOfVisit(t, kind, many) - timeOfVisit(t, kind, few)) / (many - few)
		fmt.Printf("| %s | %.2f |\n", imageTimes()[kind], float64(perImage)/float64(time.Millisecond))
	}
}

// timeOfVisit returns the processor time of a visit in which nothing is due and nothing is new.
func timeOfVisit(t *testing.T, kind ecr.ScanType, images int) (each time.Duration) {
	t.Helper()
	const warm, visits = 3, 20
	synctest.Test(t, func(t *testing.T) {
		s, err := newSimulation(t.Context(), kind, 1, images)
		if err != nil {
			t.Fatal(err)
		}
		for i := range warm + visits {
			messages, _, err := s.schedule(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			began := processorTime()
			if _, err := s.visit(t.Context(), messages); err != nil {
				t.Fatal(err)
			}
			if i >= warm {
				each += (processorTime() - began) / visits
			}
			time.Sleep(time.Minute) // so that no scan is due
		}
	})
	return each
}

// processorTime returns the processor time of this process.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails only for a wrong argument
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
