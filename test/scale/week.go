package scale

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// WeekReport is the result of a simulated week.
type WeekReport struct {
	// Schedules is the number of schedules, Pushes the number of pushed images.
	Schedules, Pushes int
	// Starts is the number of scans that the visits tried to start. Refused is how many of these ECR refused
	// because the last scan was less than 24 hours old. Calls is the number of all calls to ECR.
	Starts, Refused, Calls int
	// Oldest is the maximum age that the last scan of any image reached. For an image without a scan it is the time
	// since it was first seen.
	Oldest time.Duration
}

const (
	every  = 30 * time.Minute
	images = 40
	days   = 7
)

// Week simulates a week with a schedule and its visits every 30 minutes, sometimes late, while images are pushed,
// moved and scanned on push. It must be called in a bubble of testing/synctest. The result is always the same.
func Week(ctx context.Context) (WeekReport, error) {
	w := week{
		random: rand.New(rand.NewPCG(20261124, 7)), ecr: ecr.New(ecr.Options{ScanTime: 90 * time.Second}),
		start: time.Now(), firstSeen: map[string]time.Time{},
	}
	service, err := w.fill(ctx)
	if err != nil {
		return WeekReport{}, err
	}
	for next := w.start; time.Since(w.start) < days*24*time.Hour; next = next.Add(every) {
		w.measureAges()
		time.Sleep(time.Until(next) + w.delay())
		w.measureAges()
		w.push()
		if _, err := service.ScheduleAndVisit(ctx); err != nil {
			return w.WeekReport, err
		}
		w.Schedules++
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
	firstSeen    map[string]time.Time // by repository and digest
}

// fill creates repositories with images and their configs. Some images were scanned at a random time of the day
// before, the others never.
func (w *week) fill(ctx context.Context) (*awstest.Service, error) {
	store, err := awslocal.NewMemoryS3(awstest.Bucket)
	if err != nil {
		return nil, err
	}
	service := awstest.NewService(awstest.InProcess(store), awstest.InProcess(w.ecr), time.Now, awstest.Silent())
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

func (w *week) upTo(d time.Duration) time.Duration { return time.Duration(w.random.Int64N(int64(d))) }

// delay returns by how much a schedule is late.
func (w *week) delay() time.Duration {
	if w.random.IntN(20) == 0 {
		return w.upTo(10 * time.Minute)
	}
	return w.upTo(time.Minute)
}

// push sometimes pushes an image, under an existing tag.
func (w *week) push() {
	if w.random.IntN(4) != 0 {
		return
	}
	w.Pushes++
	id := w.repositories[w.random.IntN(len(w.repositories))]
	w.ecr.PutImage(id, ecr.Image{Tags: []string{fmt.Sprintf("v%d", w.random.IntN(images/4))}, Manifest: fmt.Sprintf(`{"push":%d}`, w.Pushes)})
}

// measureAges updates Oldest with the ages of the last scans of all tagged images.
func (w *week) measureAges() {
	for _, id := range w.repositories {
		for _, image := range w.ecr.Images(id) {
			if len(image.Tags) == 0 {
				continue // images without a tag are not scanned
			}
			key := id.Name + image.Digest
			if w.firstSeen[key].IsZero() {
				w.firstSeen[key] = time.Now()
			}
			since := image.ScannedAt
			if since.IsZero() {
				since = w.firstSeen[key]
			}
			w.Oldest = max(w.Oldest, time.Since(since))
		}
	}
}
