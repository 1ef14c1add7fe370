package httpapi

import (
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
)

func TestSince(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for given, want := range map[string]time.Time{
		"36h":                       now.Add(-36 * time.Hour),
		"90m":                       now.Add(-90 * time.Minute),
		"7d":                        now.Add(-7 * 24 * time.Hour),
		"30d":                       now.Add(-30 * 24 * time.Hour),
		"0h":                        now,
		"2026-11-20":                time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC),
		"2026-11-20T08:00:00Z":      time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC),
		"2026-11-20T08:00:00+02:00": time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC),
		"2026-11-20T08:00:00 02:00": time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC),
	} {
		r := httptest.NewRequest("GET", "/summary?"+url.Values{"since": {given}}.Encode(), nil)
		q, err := parseQuery(r, summaryResource(), now)
		if err != nil || !q.since.Equal(want) || q.values.Get("since") != given {
			t.Errorf("%s: %s, %v; links have %s", given, q.since, err, q.values)
		}
	}
	if q, err := parseQuery(httptest.NewRequest("GET", "/summary", nil), summaryResource(), now); err != nil || !q.since.IsZero() || len(q.values) != 0 {
		t.Errorf("not given: %+v, %v", q, err)
	}
}
