package emf

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/scan"
)

func TestLog(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	oldest := now.Add(-25 * time.Hour)
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	Log{log, "fn", func() time.Time { return now }}.Run(t.Context(), scan.RunReport{
		Configs: 3, ConfigsFailed: 1, ConfigsLeft: 1, Known: scan.Known{OldestScan: &oldest, Findings: scan.Counts{scan.Low: 4, scan.High: 2}},
		Tally: scan.Tally{Images: 9, Started: 4, Left: 2, NotScannable: map[string]int{"archived": 1}, Failed: map[string]int{"throttled by ECR": 2}},
	})
	aws := func(dimensions, metrics string) string {
		return `"_aws":{"Timestamp":1000000000,"CloudWatchMetrics":[{"Namespace":"ECRContinuousScan","Dimensions":[[` + dimensions + `]],"Metrics":[` + metrics + `]}]}}` + "\n"
	}
	const head = `{"level":"INFO","msg":"metrics of a scan run","FunctionName":"fn",`
	unit := func(name, unit string) string { return `{"Name":"` + name + `","Unit":"` + unit + `"}` }
	want := head + `"Configs":3,"ConfigsFailed":1,"ConfigsLeft":1,"ImagesLeft":2,"ImagesWatched":9,"ImagesDue":8,"ScansStarted":4,"ImagesFailed":2,"OldestScanAge":90000,` +
		aws(`"FunctionName"`, unit("Configs", "Count")+","+unit("ConfigsFailed", "Count")+","+unit("ConfigsLeft", "Count")+","+unit("ImagesLeft", "Count")+","+unit("ImagesWatched", "Count")+","+
			unit("ImagesDue", "Count")+","+unit("ScansStarted", "Count")+","+unit("ImagesFailed", "Count")+","+unit("OldestScanAge", "Seconds")) +
		head + `"Reason":"archived","ImagesRefused":1,` + aws(`"FunctionName","Reason"`, unit("ImagesRefused", "Count")) +
		head + `"Reason":"throttled by ECR","ImagesRefused":2,` + aws(`"FunctionName","Reason"`, unit("ImagesRefused", "Count")) +
		head + `"Severity":"HIGH","Findings":2,` + aws(`"FunctionName","Severity"`, unit("Findings", "Count")) +
		head + `"Severity":"LOW","Findings":4,` + aws(`"FunctionName","Severity"`, unit("Findings", "Count"))
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for line := range bytes.Lines(out.Bytes()) {
		if !json.Valid(line) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

func TestAgeIsLeftOutWhenUnknown(t *testing.T) {
	var out bytes.Buffer
	Log{slog.New(slog.NewJSONHandler(&out, nil)), "fn", time.Now}.Run(t.Context(), scan.RunReport{})
	if bytes.Contains(out.Bytes(), []byte(OldestScanAge)) {
		t.Errorf("an age of no scan: %s", out.String())
	}
}
