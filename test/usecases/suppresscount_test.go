package usecases

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
	"ecr-continuous-scan/internal/suppresscount"
)

func (w *suppressing) count(t *testing.T) (map[string]suppresscount.Matched, error) {
	t.Helper()
	source := w.Reader.Source
	source.Registry = nil // it is not called
	c := suppresscount.Counter{Configs: w.Reader.Configs, Source: source}
	return c.Count(t.Context(), suppress.List{All: w.suppressions.all})
}

// Each suppression matches the open findings of all watched images. One that matches nothing, or only what was resolved long ago, is missing.
func TestCountOfSuppressions(t *testing.T) {
	w := newSuppressing(t)
	w.suppress("kernel", 0, nil)
	w.suppress("everywhere", 0, func(s *suppress.Suppression) { s.Repository, s.Package = "", "*" })
	w.suppress("one", 0, func(s *suppress.Suppression) { s.Vulnerability, s.Package, s.Tag = "cve-ssl", "", "b" })
	w.suppress("unused", 0, func(s *suppress.Suppression) { s.Package = "zlib" })
	w.suppress("elsewhere", 0, func(s *suppress.Suppression) { s.Repository = "another" })
	w.suppress("ended", time.Hour, nil)
	w.advance(2 * time.Hour)
	calls := len(w.registry.order)
	want := map[string]suppresscount.Matched{"kernel": {Open: 4}, "everywhere": {Open: 9}, "one": {Open: 1}}
	if got, err := w.count(t); err != nil || !cmp.Equal(want, got) {
		t.Errorf("%v, %s", err, cmp.Diff(want, got))
	}
	if len(w.registry.order) != calls {
		t.Error("counting called ECR")
	}
}

// A suppression whose findings were resolved is in use for 30 days.
func TestCountOfResolvedFindings(t *testing.T) {
	w := newSuppressing(t)
	w.suppress("kernel", 0, func(s *suppress.Suppression) { s.Tag = "a" })
	w.advance(24 * time.Hour)
	result := completed(w.service, time.Hour, scan.Counts{scan.Medium: 1})
	result.Findings = []scan.Finding{{Name: "CVE-SSL", Package: "openssl", Severity: scan.Medium}}
	w.registry.results["1"] = result
	w.scheduleAndVisit(t)
	want := map[string]suppresscount.Matched{"kernel": {Resolved: true}}
	if got, err := w.count(t); err != nil || !cmp.Equal(want, got) {
		t.Errorf("%v, %s", err, cmp.Diff(want, got))
	}
	w.advance(31 * 24 * time.Hour)
	if got, err := w.count(t); err != nil || len(got) != 0 {
		t.Errorf("after 31 days: %v, %v", got, err)
	}
}

// A part of the findings is not shown as all of them. A repository that no suppression can match is not read.
func TestCountOfUnreadableRecords(t *testing.T) {
	w := newSuppressing(t)
	w.suppress("kernel", 0, nil)
	w.records.load[config("", "other").Repo()] = errors.New("broken")
	if got, err := w.count(t); err != nil || got["kernel"].Open != 4 {
		t.Errorf("another repository is broken: %v, %v", got, err)
	}
	w.records.load[config("", "app").Repo()] = errors.New("broken")
	if got, err := w.count(t); err == nil {
		t.Errorf("%v", got)
	}
}
