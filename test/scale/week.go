package scale

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
)

// WeekReport is what came of a week.
type WeekReport struct {
	// Runs is how many schedules there were, Pushes how many images were pushed in between.
	Runs, Pushes int
	// Starts is how many scans the visits tried to start, Refused how many of them ECR refused since the image was scanned within 24 hours, and
	// Calls how many calls to ECR there were in all.
	Starts, Refused, Calls int
	// Oldest is the greatest age that the last scan of any image had at any time, or an image that was never scanned.
	Oldest time.Duration
}

const (
	every  = 30 * time.Minute
	images = 40
	days   = 7
)

// Week lives through a week of schedules every 30 minutes, each with its visits, now and then late, while images are pushed, moved and scanned on push. It must be
// called in a bubble of testing/synctest, and is the same each time.
func Week(ctx context.Context) (WeekReport, error) {
	w := week{
		random: rand.New(rand.NewPCG(20261124, 7)), ecr: ecr.New(ecr.Options{ScanTime: 90 * time.Second}),
		start: time.Now(), seen: map[string]time.Time{},
	}
	service, err := w.fill(ctx)
	if err != nil {
		return WeekReport{}, err
	}
	for next := w.start; time.Since(w.start) < days*24*time.Hour; next = next.Add(every) {
		w.look()
		time.Sleep(time.Until(next) + w.late())
		w.look()
		w.push()
		if _, err := service.ScheduleAndVisit(ctx); err != nil {
			return w.WeekReport, err
		}
		w.Runs++
	}
	count := w.ecr.Count()
	w.Starts, w.Refused, w.Calls = count.Calls["StartImageScan"], count.Errors["StartImageScan"]["LimitExceededException"], count.Total()
	return w.WeekReport, nil
}

type week struct {
	WeekReport
	random       *rand.Rand
	ecr          *ecr.ECR
	start        time.Time
	repositories []ecr.RepositoryID
	seen         map[string]time.Time // when a digest was seen first
}

// fill makes repositories with images, of which some were scanned yesterday at any hour and some never, and watches them.
func (w *week) fill(ctx context.Context) (*awstest.Service, error) {
	store, err := awslocal.NewMemoryS3(awstest.Bucket)
	if err != nil {
		return nil, err
	}
	service := awstest.NewService(inProcess(store), inProcess(w.ecr), time.Now, awstest.Silent())
	for i := range 4 {
		id := ecr.RepositoryID{Region: awslocal.DefaultRegion, Registry: awslocal.DefaultRegistry, Name: fmt.Sprintf("team/app%d", i)}
		w.ecr.PutRepository(id, ecr.Repository{ScanOnPush: i%2 == 1})
		for tag := range images / 4 {
			image := ecr.Image{Tags: []string{fmt.Sprintf("v%d", tag)}, ScanTime: w.upTo(10 * time.Minute)}
			if tag%3 != 0 {
				image.ScannedAt = w.start.Add(-w.upTo(24 * time.Hour))
			}
			w.ecr.PutImage(id, image)
		}
		w.repositories = append(w.repositories, id)
		c, err := scan.NewConfig(scan.Config{Region: id.Region, Registry: id.Registry, Repository: id.Name}, w.start)
		if err != nil {
			return nil, err
		}
		if err := service.Configs.Put(ctx, c); err != nil {
			return nil, err
		}
	}
	return service, nil
}

// inProcess reaches an embedded service without a socket, which a fake clock could not wait for.
func inProcess(h http.Handler) aws.Config {
	cfg := setup.Loopback("http://127.0.0.1:1")
	cfg.HTTPClient = &http.Client{Transport: awslocal.Transport{Handler: h}}
	return cfg
}

func (w *week) upTo(d time.Duration) time.Duration { return time.Duration(w.random.Int64N(int64(d))) }

// late is by how much a schedule comes later than it should.
func (w *week) late() time.Duration {
	if w.random.IntN(20) == 0 {
		return w.upTo(10 * time.Minute)
	}
	return w.upTo(time.Minute)
}

// push pushes an image now and then, under a tag that exists.
func (w *week) push() {
	if w.random.IntN(4) != 0 {
		return
	}
	w.Pushes++
	id := w.repositories[w.random.IntN(len(w.repositories))]
	w.ecr.PutImage(id, ecr.Image{Tags: []string{fmt.Sprintf("v%d", w.random.IntN(images/4))}, Manifest: fmt.Sprintf(`{"push":%d}`, w.Pushes)})
}

// look notes how old the last scan of each image is that has a tag.
func (w *week) look() {
	for _, id := range w.repositories {
		for _, image := range w.ecr.Images(id) {
			if len(image.Tags) == 0 {
				continue // nobody watches what has no tag
			}
			key := id.Name + image.Digest
			if w.seen[key].IsZero() {
				w.seen[key] = time.Now()
			}
			since := image.ScannedAt
			if since.IsZero() {
				since = w.seen[key]
			}
			w.Oldest = max(w.Oldest, time.Since(since))
		}
	}
}
