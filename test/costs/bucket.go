package costs

import (
	"net/http"
	"sync"
	"sync/atomic"

	"ecr-continuous-scan/internal/awslocal"
)

// bucket is an S3 that counts bytes.
type bucket struct {
	store *awslocal.S3
	// written are the bytes of all objects that were written.
	written atomic.Int64
	mu      sync.Mutex
	// sizes are the bytes of the objects, by path.
	sizes map[string]int64
}

// ServeHTTP implements [http.Handler]. No call of the simulations fails.
func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	switch r.Method {
	case http.MethodPut:
		b.sizes[r.URL.Path] = r.ContentLength
		b.written.Add(r.ContentLength)
	case http.MethodDelete:
		delete(b.sizes, r.URL.Path)
	}
	b.mu.Unlock()
	b.store.ServeHTTP(w, r)
}

// stored returns the bytes of all objects.
func (b *bucket) stored() (sum int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, size := range b.sizes {
		sum += size
	}
	return sum
}
