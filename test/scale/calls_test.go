package scale

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/rescan"
)

// callsOfDays visits the repositories of w every 30 minutes for some days. It returns the calls to ECR of all days but the first,
// in which the service sees the images for the first time.
func callsOfDays(t *testing.T, w *World, days int) awslocal.Count {
	t.Helper()
	for visit := range days * visitsOfDay {
		if visit == visitsOfDay {
			w.ECR.ResetCount()
		}
		began := time.Now()
		if visits, _, err := w.Run(t.Context()); err != nil || visits.NotReached+visits.ImagesFailed() > 0 {
			t.Fatalf("%v, visits %+v", err, visits.Tally)
		}
		time.Sleep(time.Until(began.Add(every)))
	}
	return w.ECR.Count()
}

const visitsOfDay = int(24 * time.Hour / every)

// With basic scanning, a day of an image is one call that starts its scan and one that reads the result. A result of more than 1,000
// findings takes one more call for each further page. A scan that was not finished at the next visit takes one more.
func TestCallsOfADayWithBasicScanning(t *testing.T) {
	for name, test := range map[string]struct {
		image ecr.Image
		reads int // for each start
	}{
		"as usual":                     {ecr.Image{}, 1},
		"2,500 findings":               {ecr.Image{Findings: make([]ecr.Finding, 2500)}, 3},
		"a scan of 45 minutes":         {ecr.Image{ScanTime: 45 * time.Minute}, 2},
		"two tags, findings that vary": {ecr.Image{Tags: []string{"a", "b"}, Findings: make([]ecr.Finding, 3)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const days, images = 8, 10
				c := Config("us-west-2", "app")
				w := New(c)
				for i := range images {
					image := test.image
					image.Manifest, image.ScannedAt = fmt.Sprint(i), time.Now().Add(-time.Duration(i)*3*time.Hour)
					for n := range max(len(image.Tags), 1) {
						image.Tags = append(image.Tags[:n:n], fmt.Sprintf("v%d-%d", i, n))
					}
					w.ECR.PutImage(ID(c), image)
				}
				count := callsOfDays(t, w, days)
				starts := count.Calls["StartImageScan"]
				// A scan is due 24 hours after the last one was completed, and starts with the next visit.
				if least, most := (days-2)*images, (days-1)*images; starts < least || starts > most {
					t.Errorf("%d scans were started, want %d to %d", starts, least, most)
				}
				if reads := count.Calls["DescribeImageScanFindings"]; reads < (starts-images)*test.reads || reads > (starts+images)*test.reads {
					t.Errorf("%d results were read after %d starts, want %d for each", reads, starts, test.reads)
				}
				if len(count.Errors["StartImageScan"]) > 0 || count.Calls["DescribeImages"] != (days-1)*visitsOfDay {
					t.Errorf("refused %v, calls %v", count.Errors, count.Calls)
				}
				t.Log(count.Calls)
			})
		})
	}
}

// An enhanced result is read in each visit that has the time, because it can change at any time. No scan is started, and nothing else is
// read. If no result changed, the visits store no histories, and the record at most once an hour.
func TestCallsOfADayWithEnhancedScanning(t *testing.T) {
	for _, names := range [][]string{{}, {"CVE-2026-1001", "CVE-2026-1002"}} {
		t.Run(fmt.Sprintf("%d findings", len(names)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const days, images = 3, 10
				c := Config("us-west-2", "app")
				w := New(c)
				w.ECR.SetScanType(c.Region, c.Registry, ecr.Enhanced)
				findings := []ecr.EnhancedFinding{}
				for _, name := range names {
					findings = append(findings, enhancedFinding(name))
				}
				for i := range images {
					w.ECR.PutImage(ID(c), ecr.Image{Tags: []string{fmt.Sprint(i)}, Manifest: fmt.Sprint(i), ScannedAt: time.Now().Add(-time.Hour), Enhanced: findings})
				}
				count := callsOfDays(t, w, days)
				want := map[string]int{"DescribeImages": (days - 1) * visitsOfDay, "DescribeImageScanFindings": (days - 1) * visitsOfDay * images}
				if !maps.Equal(count.Calls, want) {
					t.Errorf("calls %v, want %v", count.Calls, want)
				}
				if puts := w.store.Count().Calls["PutObject"]; puts > 2+days*24 {
					t.Errorf("%d objects were stored in %d visits", puts, days*visitsOfDay)
				}
			})
		})
	}
}

// enhancedFinding returns a finding with the fields and the title that Amazon Inspector gives it.
func enhancedFinding(name string) ecr.EnhancedFinding {
	at := ecr.Time{Time: time.Now().Add(-36*time.Hour - 123456*time.Microsecond)}
	return ecr.EnhancedFinding{
		Title: name + " - openssl", Description: "text", Severity: "HIGH", Status: "ACTIVE", Type: "PACKAGE_VULNERABILITY", Score: 7.5,
		FirstObservedAt: at, LastObservedAt: at, UpdatedAt: at, FixAvailable: "YES", ExploitAvailable: "NO", Remediation: &ecr.Remediation{Recommendation: ecr.Recommendation{Text: "None Provided"}},
		PackageDetails: &ecr.PackageVulnerability{
			VulnerabilityID: name, Source: "NVD", SourceURL: "https://nvd.example/" + name, RelatedVulnerabilities: []string{}, VendorCreatedAt: at, VendorUpdatedAt: at,
			VulnerablePackages: []ecr.VulnerablePackage{{Name: "openssl", Version: "3.0", Release: "1", Arch: "ARM64", PackageManager: "OS", FixedInVersion: "0:3.1-1"}},
		},
		Resources: []ecr.Resource{{Details: ecr.ResourceDetails{Image: &ecr.ResourceImage{InUseCount: 3, LastInUseAt: at, Platform: "DEBIAN_12"}}}},
	}
}

// If a visit did not end, the next one reads the results before it starts scans. So it starts no scan again and none is refused, whatever
// was stored before.
func TestVisitThatDoesNotEnd(t *testing.T) {
	for _, first := range []bool{true, false} {
		for _, died := range []time.Duration{3 * time.Second, 10 * time.Second, 30 * time.Second, 50 * time.Second} {
			t.Run(fmt.Sprintf("first visit %t, after %s", first, died), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const images = 1200
					c := Config("us-west-2", "app")
					w := New(c)
					w.Fill(c, images)
					if !first {
						if visits, _, err := w.Run(t.Context()); err != nil || visits.Started != images {
							t.Fatalf("%v, visits %+v", err, visits)
						}
						time.Sleep(every)
						if _, _, err := w.Run(t.Context()); err != nil {
							t.Fatal(err)
						}
						time.Sleep(25 * time.Hour)
					}
					w.Limit(20, 0)
					before := startedScans(w)
					w.die(t, died, rescan.Received{Message: rescan.NewMessage(c.Repo(), c.ID), ID: "first", Sent: time.Now()})
					started := startedScans(w) - before
					time.Sleep(10 * time.Minute)
					w.ECR.ResetCount()
					visits, _, err := w.Run(t.Context())
					count := w.ECR.Count()
					if err != nil || visits.Started != images-started || startedScans(w)-before != images {
						t.Errorf("%v, %d scans were started and then %d: %+v", err, started, visits.Started, visits.Tally)
					}
					if n := count.Errors["StartImageScan"]["LimitExceededException"]; n > 0 || started == 0 {
						t.Errorf("%d starts were refused after %d were started", n, started)
					}
				})
			})
		}
	}
}

// A visit that reaches its deadline knows which scans it started. The visits that continue it start only the others, and read each
// result at most once.
func TestContinuedStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const images = 1000
		c := Config("us-west-2", "app")
		w := New(c)
		w.Fill(c, images)
		for range 2 {
			if _, _, err := w.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(every)
		}
		time.Sleep(24 * time.Hour)
		w.Limit(2, 0)
		w.ECR.ResetCount()
		visits, _, err := w.Run(t.Context())
		count := w.ECR.Count()
		if err != nil || visits.Started != images || len(visits.Reports) < 2 || visits.ImagesFailed() > 0 {
			t.Errorf("%v, %d visits: %+v", err, len(visits.Reports), visits.Tally)
		}
		reads := count.Calls["DescribeImageScanFindings"] - count.Errors["DescribeImageScanFindings"]["ThrottlingException"]
		if n := count.Errors["StartImageScan"]["LimitExceededException"]; n > 0 || reads > images {
			t.Errorf("%d results were read: calls %v, errors %v", reads, count.Calls, count.Errors)
		}
	})
}

// startedScans returns the number of scans that ECR has started.
func startedScans(w *World) (n int) {
	for _, id := range w.ECR.Repositories() {
		for _, image := range w.ECR.Images(id) {
			n += image.ScansStarted
		}
	}
	return n
}

// die runs a visit whose process dies after some time: from then on it makes no calls.
func (w *World) die(t *testing.T, after time.Duration, m rescan.Received) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), VisitTime)
	defer cancel()
	defer w.dead.Store(false)
	defer time.AfterFunc(after, func() {
		w.dead.Store(true)
		cancel()
	}).Stop()
	w.Visitor.Visit(ctx, m)
}
