package simulation

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
)

// inProcess reaches an embedded service without a socket, which a fake clock could not wait for.
func inProcess(h http.Handler) aws.Config {
	cfg := setup.Loopback("http://127.0.0.1:1")
	cfg.HTTPClient = &http.Client{Transport: awslocal.Transport{Handler: h}}
	return cfg
}

func newWatch(t *testing.T, ecr *awslocal.ECR, configs ...scan.Config) *scan.Watch {
	t.Helper()
	store, err := awslocal.NewMemoryS3(awstest.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	watch := setup.New(inProcess(store), inProcess(ecr), awstest.Bucket, awstest.Silent())
	for _, c := range configs {
		c, err := scan.NewConfig(c, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := watch.Configs.Put(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	return watch
}

// A week of runs every 30 minutes, now and then late, while images are pushed, moved and scanned on push: no image waits for its next scan
// longer than it must, and hardly a call is wasted on one that ECR would refuse.
func TestWeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			every = 30 * time.Minute
			limit = 25 * time.Hour
		)
		random := rand.New(rand.NewPCG(20261124, 7))
		ecr := awslocal.NewECR(awslocal.ECROptions{ScanTime: 90 * time.Second})
		start := time.Now()
		var repositories []awslocal.RepositoryID
		var configs []scan.Config
		for i := range 4 {
			id := awslocal.RepositoryID{Region: "us-west-2", Registry: "123456789012", Name: fmt.Sprintf("team/app%d", i)}
			ecr.PutRepository(id, awslocal.Repository{ScanOnPush: i%2 == 1})
			for tag := range 10 {
				// Some were scanned yesterday at any hour, some never.
				image := awslocal.Image{Tags: []string{fmt.Sprintf("v%d", tag)}, ScanTime: time.Duration(random.Int64N(int64(10 * time.Minute)))}
				if tag%3 != 0 {
					image.ScannedAt = start.Add(-time.Duration(random.Int64N(int64(24 * time.Hour))))
				}
				ecr.PutImage(id, image)
			}
			repositories = append(repositories, id)
			configs = append(configs, scan.Config{Region: id.Region, Registry: id.Registry, Repository: id.Name})
		}
		watch := newWatch(t, ecr, configs...)

		seen := map[string]time.Time{} // when a digest was seen first
		oldest := time.Duration(0)
		check := func() {
			for _, id := range repositories {
				for _, image := range ecr.Images(id) {
					if len(image.Tags) == 0 {
						continue // nobody watches what has no tag
					}
					key := id.Name + image.Digest
					if seen[key].IsZero() {
						seen[key] = time.Now()
					}
					since := image.ScannedAt
					if since.IsZero() {
						since = seen[key]
					}
					oldest = max(oldest, time.Since(since))
				}
			}
		}
		pushes, next := 0, start
		for time.Since(start) < 7*24*time.Hour {
			check()
			late := time.Duration(random.Int64N(int64(time.Minute)))
			if random.IntN(20) == 0 {
				late = time.Duration(random.Int64N(int64(10 * time.Minute)))
			}
			time.Sleep(time.Until(next) + late)
			check()
			if random.IntN(4) == 0 { // a push under a tag that exists
				pushes++
				id := repositories[random.IntN(len(repositories))]
				ecr.PutImage(id, awslocal.Image{Tags: []string{fmt.Sprintf("v%d", random.IntN(10))}, Manifest: fmt.Sprintf(`{"push":%d}`, pushes)})
			}
			if _, err := watch.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			next = next.Add(every)
		}
		count := ecr.Count()
		starts, refused := count.Calls["StartImageScan"], count.Errors["StartImageScan"]["LimitExceededException"]
		t.Logf("%d runs, %d pushes, %d starts, %d of them refused, the oldest scan was %s old", 7*48, pushes, starts, refused, oldest.Round(time.Second))
		if oldest >= limit {
			t.Errorf("a scan was %s old, want less than %s", oldest, limit)
		}
		if refused*100 > count.Total() || refused*100 > starts {
			t.Errorf("%d of %d starts were refused, with %d calls in all", refused, starts, count.Total())
		}
		if starts < 7*40-40 || pushes == 0 {
			t.Errorf("%d starts and %d pushes: hardly a week", starts, pushes)
		}
	})
}
