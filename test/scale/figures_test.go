package scale

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
)

// The first visit of 400 images reads 400 results and starts 400 scans at the same time. At 20 calls per second of
// each kind this takes 20 s. At most a tenth of the calls is refused.
func TestFirstVisit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const images, most = 400, 22 * time.Second
		c := Config("us-west-2", "app")
		w := New(c)
		for i := range images {
			w.ECR.PutImage(ID(c), ecr.Image{
				Tags: []string{fmt.Sprintf("v%d", i)}, ScannedAt: time.Now().Add(-25 * time.Hour),
				Findings: []ecr.Finding{{Name: "CVE-2026-0001", Severity: "HIGH"}, {Name: fmt.Sprintf("CVE-2026-%d", 1000+i), Severity: "LOW"}},
			})
		}
		w.Limit(20, 0)
		visits, took, err := w.Run(t.Context())
		if err != nil || visits.Started != images || visits.NotReached != 0 || visits.ImagesFailed() != 0 {
			t.Errorf("%v, visits %+v", err, visits)
		}
		if took > most {
			t.Errorf("took %s, want %s at most", took, most)
		}
		count := w.ECR.Count()
		throttled := 0
		for _, errors := range count.Errors {
			throttled += errors["ThrottlingException"]
		}
		if throttled*10 > count.Total() {
			t.Errorf("%d of %d calls were refused", throttled, count.Total())
		}
		checkStartedOnce(t, w, []scan.Config{c})
		l, err := w.Reader.Findings(t.Context(), c.ID, report.View{})
		if err != nil || l.Total != 2*images {
			t.Errorf("%v, %d findings are recorded", err, l.Total)
		}
		t.Logf("took %s, %d of %d calls were refused", took, throttled, count.Total())
	})
}

// A summary of 1,000 repositories with records that are 6 to 30 minutes old makes the maximum number of calls to
// ECR and responds within 2.5 s.
func TestSummaryOfManyRepositories(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many, parts, most = 1000, 10, 2500 * time.Millisecond
		configs := repositories("us-west-2", many)
		w := New(configs...)
		for part := range parts {
			for _, c := range configs[part*many/parts : (part+1)*many/parts] {
				w.ECR.PutImage(ID(c), ecr.Image{Tags: []string{"v1"}, ScannedAt: time.Now().Add(-time.Hour), Findings: []ecr.Finding{{Name: "CVE-1", Severity: "LOW"}}})
				w.Queue.Send(t.Context(), []rescan.Sending{{Message: rescan.NewMessage(c.Repo(), c.ID)}})
			}
			if visits := w.VisitAll(t.Context()); visits.Count(rescan.VisitEnded) != many/parts {
				t.Fatalf("%+v", visits)
			}
			if part < parts-1 {
				time.Sleep(24 * time.Minute / (parts - 1))
			}
		}
		time.Sleep(6 * time.Minute)
		w.Limit(20, 0)
		handler := w.Handler("https://api.example")
		var first []byte
		for i := range 2 {
			w.ECR.ResetCount()
			began := time.Now()
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, httptest.NewRequest("GET", "/summary", nil))
			took, calls, body := time.Since(began), w.ECR.Count().Total(), answer.Body.String()
			if took > most || calls == 0 || calls > 100 {
				t.Errorf("response %d took %s and %d calls", i, took, calls)
			}
			if n := strings.Count(body, "Results for "); answer.Code != 200 || n != many || strings.Count(body, " LOW: 1\n") != many || strings.Contains(body, "AS OF") {
				t.Errorf("response %d: status %d, %d blocks: %.2000s", i, answer.Code, n, body)
			}
			if i > 0 && !bytes.Equal(first, answer.Body.Bytes()) {
				t.Errorf("response %d differs from the first one", i)
			}
			first = answer.Body.Bytes()
			t.Logf("took %s, %d calls", took, calls)
			time.Sleep(time.Second)
		}
	})
}
