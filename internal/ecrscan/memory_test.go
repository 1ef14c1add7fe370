package ecrscan_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/ecrscan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// largeManifests answers BatchGetImage with manifests that are padded to size bytes. It writes them piece by piece, so that the
// test measures the memory of the client. All other calls go to the embedded ECR.
type largeManifests struct {
	*ecr.ECR
	size      int
	hasLength bool
	calls     atomic.Int64
}

func (l *largeManifests) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".BatchGetImage") {
		l.ECR.ServeHTTP(w, r)
		return
	}
	l.calls.Add(1)
	var request struct {
		ImageIDs []struct {
			Digest string `json:"imageDigest"`
		} `json:"imageIds"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	const begin, end = `{"images":[`, `]}`
	manifest := strconv.Quote(manifestOf(linux(1, "amd64"), linux(2, "arm64")))
	padding := strings.Repeat(" ", 1<<16)
	padded := l.size >> 16 << 16
	entry := func(digest string) string {
		return `{"imageId":{"imageDigest":"` + digest + `"},"imageManifest":` + manifest[:len(manifest)-1]
	}
	if l.hasLength {
		n := len(begin) + len(end) + len(request.ImageIDs) - 1
		for _, id := range request.ImageIDs {
			n += len(entry(id.Digest)) + padded + len(`"}`)
		}
		w.Header().Set("Content-Length", strconv.Itoa(n))
	}
	write := func(s string) bool { _, err := io.WriteString(w, s); return err == nil }
	write(begin)
	for i, id := range request.ImageIDs {
		if i > 0 {
			write(",")
		}
		write(entry(id.Digest))
		for range l.size >> 16 {
			if !write(padding) {
				return
			}
		}
		write(`"}`)
	}
	write(end)
}

// An answer with 100 manifests of 4 MiB is not read into memory. The number of calls stays limited.
func TestMemoryForLargeManifests(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector needs much more memory and time")
	}
	const size, maxLive = 4<<20 - 1<<16, 100 << 20
	for name, test := range map[string]struct {
		hasLength           bool
		manifests, maxCalls int
	}{"with a length": {true, 100, 101}, "without": {false, 16, 48}} {
		t.Run(name, func(t *testing.T) {
			l := &largeManifests{ECR: ecr.New(ecr.Options{}), size: size, hasLength: test.hasLength}
			for i := range test.manifests {
				l.PutImage(id, ecr.Image{Tags: []string{fmt.Sprint("t", i)}, MediaType: ecr.OCIIndex, Digest: digestOf(1000 + i), Manifest: "{}"})
			}
			server := httptest.NewServer(l)
			defer server.Close()
			var lines []string
			live := peakLive(func() {
				images, err := imagesOf(ecrscan.New(awstest.Config(server.URL)).Images(t.Context(), repo, scan.Wanted{}))
				if err != nil {
					t.Error(err)
				}
				lines = imageLines(images)
			})
			t.Logf("at most %d MiB in use, %d calls", live>>20, l.calls.Load())
			if live > maxLive || int(l.calls.Load()) > test.maxCalls || len(lines) != 2*test.manifests || lines[0] != "t0 (linux/amd64)" {
				t.Errorf("%d MiB in use, %d calls, %d images", live>>20, l.calls.Load(), len(lines))
			}
		})
	}
}

// The images of 1,000 tags with 100 children each fit into memory.
func TestMemoryForManyImages(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector needs much more memory and time")
	}
	e, c := newInProcess()
	for i := range 1000 {
		entries := make([]entry, 100)
		for n := range entries {
			entries[n] = linux(100*i+n, fmt.Sprint("arch", n))
		}
		e.PutImage(id, ecr.Image{Tags: []string{fmt.Sprint("t", i)}, MediaType: ecr.OCIIndex, Manifest: manifestOf(entries...)})
	}
	n := 0
	live := peakLive(func() {
		images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
		if n = len(images); err != nil {
			t.Error(err)
		}
	})
	calls := e.Count().Calls["BatchGetImage"]
	t.Logf("at most %d MiB in use, %d calls", live>>20, calls)
	if n != 100_000 || live > 200<<20 || calls > 3*1000/100 {
		t.Errorf("%d images, %d MiB in use, %d calls", n, live>>20, calls)
	}
}

// peakLive returns how many bytes of the heap were in use at the most while f ran, minus those before.
func peakLive(f func()) uint64 {
	inUse := func() uint64 {
		samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(samples)
		return samples[0].Value.Uint64()
	}
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // frequent collections make the measured memory precise enough
	runtime.GC()
	before, done, peak := inUse(), make(chan struct{}), make(chan uint64)
	go func() {
		most := before
		for ticker := time.NewTicker(time.Millisecond); ; {
			select {
			case <-ticker.C:
				most = max(most, inUse())
			case <-done:
				ticker.Stop()
				peak <- most - before
				return
			}
		}
	}()
	f()
	close(done)
	return <-peak
}
