package s3store

import (
	"sync"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// configCache contains the objects that were read as configs, by id and ETag. It has one entry for each id.
type configCache struct {
	mu      sync.Mutex
	entries map[string]cachedConfig // by id
	used    bool                    // an entry was saved
}

// cachedConfig is the result of decode for one version of an object. err is nil or wraps errNotConfig.
type cachedConfig struct {
	etag   string
	config scan.Config
	err    error
	read   time.Time // by S3's clock; zero for a copy of the config
}

// loadSince returns what is known of the object of an id, if it was read after a time. The caller must not change the tags of the config.
func (c *configCache) loadSince(id string, since time.Time) (scan.Config, error, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[id]
	return e.config, e.err, ok && e.read.After(since)
}

// load returns what is known of an object with this ETag. The caller must not change the tags of the config.
func (c *configCache) load(o listedConfig) (scan.Config, error, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[o.id]
	return e.config, e.err, ok && e.etag == o.etag
}

// save remembers the result of decode, and when the object was read. It ignores an object without an ETag.
func (c *configCache) save(o listedConfig, config scan.Config, err error, read time.Time) {
	if o.etag == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = make(map[string]cachedConfig)
	}
	c.entries[o.id] = cachedConfig{o.etag, config, err, read}
	c.used = true
}

// keep removes the entries of objects that no longer exist, so that the cache never has more entries than the bucket has
// configs.
func (c *configCache) keep(objects []listedConfig) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) == 0 {
		return
	}
	listed := make(map[string]bool, len(objects))
	for _, o := range objects {
		listed[o.id] = true
	}
	for id := range c.entries {
		if !listed[id] {
			delete(c.entries, id)
		}
	}
}

// isUsed reports whether the cache ever had an entry.
func (c *configCache) isUsed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}
