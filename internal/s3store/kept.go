package s3store

import (
	"sync"

	"ecr-continuous-scan/internal/history"
)

// kept has records as they were read last. Most are read again before they change, and to unpack one takes far longer than S3 takes to say that
// it is still the same.
type kept struct {
	mu      sync.Mutex
	records map[string]keptRecord // by key
	size    int                   // the sum of theirs
}

type keptRecord struct {
	history.Record
	size int // as sizeOf counts it
}

// mostKept bounds what is kept, as sizeOf counts it: some 20 MiB.
const mostKept = 40_000

// sizeOf counts what a record takes, in half KiB: two for itself and for each image, one for each
// change of an image's counts, for 8 ids of configs, and for 32 periods.
func sizeOf(r history.Record) int {
	n, periods := 2+2*len(r.Images)+len(r.Configs)/8, len(r.Taken)+len(r.Absences)
	for _, i := range r.Images {
		n += len(i.Changes)
		periods += len(i.Gaps) + len(i.Failures)
	}
	return n + periods/32
}

// of is the record of a key; without a version when there is none.
func (k *kept) of(key string) history.Record {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.records[key].Record
}

// keep keeps a record in the place of the one of its key, and of any others if there is no room for it beside them.
func (k *kept) keep(key string, r history.Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(key)
	size := sizeOf(r)
	if r.Version == "" || size > mostKept {
		return
	}
	for other := range k.records {
		if k.size+size <= mostKept {
			break
		}
		k.drop(other)
	}
	if k.records == nil {
		k.records = make(map[string]keptRecord)
	}
	k.records[key] = keptRecord{r, size}
	k.size += size
}

func (k *kept) drop(key string) {
	k.size -= k.records[key].size
	delete(k.records, key)
}
