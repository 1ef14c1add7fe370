package setup_test

import (
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
)

// inLambda sets the variable that says that the process runs in Lambda. After the test, the settings of the garbage collector are the
// old ones.
func inLambda(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
	t.Setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
}

// In Lambda, a function reads the configs while it starts, so the first request reads none again. It calls only S3. Elsewhere, a
// function calls nothing before the first request.
func TestFunctionsPrepareTheFirstRequest(t *testing.T) {
	for _, f := range []struct {
		name, request string
		build         apiFunction
	}{{"configs", "GET /configs 200", setup.Configs}, {"summary", "GET /summary 200", setup.Summary}, {"findings", "GET /findings 200", setup.Findings}} {
		t.Run(f.name, func(t *testing.T) {
			s := start(t)
			if _, err := f.build(t.Context(), awstest.Silent(), base); err != nil || len(s.calls()) > 0 {
				t.Errorf("outside Lambda: calls of %v, %v", s.calls(), err)
			}
			inLambda(t)
			h, err := f.build(t.Context(), awstest.Silent(), base)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]bool{"ListObjectsV2": true, "GetObject": true}, s.calls()); diff != "" {
				t.Errorf("calls of the start (-want +got):\n%s", diff)
			}
			s.S3.InjectFault(awslocal.Fault{Operation: "GetObject", Resource: s.config.ID + ".json", Code: "AccessDenied", Status: 403})
			checkStatus(t, h, f.request)
		})
	}
}

// SummaryFunc reads at most 64 records while it starts, each only once. The other functions read one.
func TestRecordsReadAtTheStart(t *testing.T) {
	s := start(t)
	service := s.Service(awstest.Silent())
	for i := range 80 {
		service.AddConfig(t, fmt.Sprintf("app-%d", i/2)) // two configs of each repository
	}
	for _, test := range []struct {
		name    string
		build   apiFunction
		records int
	}{{"summary", setup.Summary, 1 + 40}, {"findings", setup.Findings, 1}, {"summary of more repositories", setup.Summary, 64}} {
		t.Run(test.name, func(t *testing.T) {
			if test.records == 64 {
				for i := range 80 {
					service.AddConfig(t, fmt.Sprintf("other-%d", i))
				}
			}
			inLambda(t)
			if err := service.Visitor.Configs.Pack(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.resetCounts()
			if _, err := test.build(t.Context(), awstest.Silent(), base); err != nil {
				t.Fatal(err)
			}
			if got := s.S3.Count().Calls["GetObject"] - 1; got != test.records { // one is the packed configs
				t.Errorf("%d records were read, want %d", got, test.records)
			}
		})
	}
}

// The records of a pattern are those of the repositories that it matches.
func TestRecordsOfAPatternAreReadAtTheStart(t *testing.T) {
	s := start(t)
	service := s.Service(awstest.Silent())
	service.AddConfig(t, "*")
	if _, err := service.ScheduleAndVisit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := service.Configs.Delete(t.Context(), s.config.ID, nil); err != nil {
		t.Fatal(err)
	}
	if err := service.Visitor.Configs.Pack(t.Context()); err != nil {
		t.Fatal(err)
	}
	inLambda(t)
	s.resetCounts()
	if _, err := setup.Summary(t.Context(), awstest.Silent(), base); err != nil {
		t.Fatal(err)
	}
	if got := s.S3.Count().Calls["GetObject"]; got != 3 {
		t.Errorf("%d objects were read, want the configs, what their patterns match, and one record", got)
	}
}

// StartScanFunc connects to S3 while it starts.
func TestStartScanPreparesTheFirstEvent(t *testing.T) {
	s := start(t)
	inLambda(t)
	if _, err := setup.StartScan(t.Context(), awstest.Silent()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]bool{"GetObject": true}, s.calls()); diff != "" {
		t.Errorf("calls of the start (-want +got):\n%s", diff)
	}
}

// A function starts even if S3 fails or does not respond. The failure is logged, and the first request calls S3 again.
func TestFunctionsStartWithoutS3(t *testing.T) {
	for name, fault := range map[string]awslocal.Fault{
		"refuses": {Code: "AccessDenied", Status: http.StatusForbidden}, "fails": {Status: http.StatusServiceUnavailable}, "drops": {Drop: true}, "hangs": {Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			inLambda(t)
			s.S3.InjectFault(fault)
			var log strings.Builder
			h, err := setup.Summary(t.Context(), slog.New(slog.NewJSONHandler(&log, nil)), base)
			if err != nil || !strings.Contains(log.String(), "could not prepare the first request") {
				t.Fatalf("%v, log: %s", err, log.String())
			}
			s.S3.ClearFaults()
			checkStatus(t, h, "GET /summary 200")
		})
	}
}
