package s3store

import (
	"sync"

	"ecr-continuous-scan/internal/history"
)

// recordCache contains the records that were read last. Most records are read several times before they change, and
// unpacking a record takes much longer than a conditional GET that returns 304.
type recordCache struct {
	mu      sync.Mutex
	records map[string]cachedRecord // by key
	size    int                     // sum of the records' sizes
}

type cachedRecord struct {
	history.Record
	size int // in the unit of cacheSizeOf
}

// maxCacheSize is the maximum size of the cache, in the unit of cacheSizeOf: about 20 MiB.
const maxCacheSize = 40_000

// cacheSizeOf estimates the memory of a record in units of 512 bytes: 2 for the record, 2 for each image, and 1 for each
// count change, each 8 config ids and each 32 periods. A date counts as 2 periods.
func cacheSizeOf(r history.Record) int {
	n, periods := 2+2*len(r.Images)+len(r.Configs)/8, len(r.UsedSeconds)+len(r.Absences)+2*len(r.Dates)
	for _, i := range r.Images {
		n += len(i.Changes)
		periods += len(i.Gaps) + len(i.Failures) + 3*len(i.Statuses) + 2*len(i.Dates)
	}
	return n + periods/32
}

// load returns the record of a key. The record has no version if the cache does not contain the key.
func (c *recordCache) load(key string) history.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.records[key].Record
}

// save replaces the record of a key. It removes other records if the cache would become too large.
func (c *recordCache) save(key string, r history.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(key)
	size := cacheSizeOf(r)
	if r.Version == "" || size > maxCacheSize {
		return
	}
	for other := range c.records {
		if c.size+size <= maxCacheSize {
			break
		}
		c.remove(other)
	}
	if c.records == nil {
		c.records = make(map[string]cachedRecord)
	}
	c.records[key] = cachedRecord{r, size}
	c.size += size
}

func (c *recordCache) remove(key string) {
	c.size -= c.records[key].size
	delete(c.records, key)
}
