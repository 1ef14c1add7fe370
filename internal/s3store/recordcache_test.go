package s3store

import (
	"fmt"
	"testing"

	"ecr-continuous-scan/internal/history"
)

// The cache returns the latest record and never exceeds its maximum size.
func TestRecordCache(t *testing.T) {
	newRecord := func(version string, images int) history.Record {
		r := history.Record{Version: version, Images: make(map[string]*history.ImageRecord)}
		for i := range images {
			r.Images[fmt.Sprint(i)] = &history.ImageRecord{}
		}
		return r
	}
	withPeriods := func(r history.Record, periods int) history.Record {
		r.UsedSeconds = make(history.SecondSet, periods)
		return r
	}
	withChanges := func(r history.Record, times int) history.Record {
		r.Images["0"] = &history.ImageRecord{Changes: make([]history.CountChange, times)}
		return r
	}
	var c recordCache
	checkSize := func() {
		t.Helper()
		sum := 0
		for _, r := range c.records {
			sum += cacheSizeOf(r.Record)
		}
		if c.size != sum || sum > maxCacheSize {
			t.Errorf("the cached records have size %d, maximum %d; the cache counts %d", sum, maxCacheSize, c.size)
		}
	}
	for _, tt := range []struct {
		key    string
		record history.Record
		saved  bool
		count  int
	}{
		{"a", newRecord("1", 10), true, 1},
		{"a", newRecord("2", 20), true, 1},
		{"b", newRecord("1", maxCacheSize/4), true, 2},
		{"c", newRecord("1", maxCacheSize/4-200), true, 3},
		{"too large", newRecord("1", maxCacheSize/2), false, 3},
		{"too many changes", withChanges(newRecord("1", 1), maxCacheSize), false, 3},
		{"too many dates", withPeriods(newRecord("1", 1), 32*maxCacheSize), false, 3},
		{"changes and dates", withPeriods(withChanges(newRecord("1", 1), 100), 320), true, 4},
		{"all", newRecord("1", maxCacheSize/2-1), true, 1},
		{"all", newRecord("", 1), false, 0}, // a rebuilt record that is not saved yet
		{"none", newRecord("1", 0), true, 1},
	} {
		c.save(tt.key, tt.record)
		got := c.load(tt.key)
		if (got.Version == tt.record.Version && len(got.Images) == len(tt.record.Images)) != tt.saved || len(c.records) != tt.count {
			t.Errorf("%s with %d images: got version %q with %d images, %d records in the cache", tt.key, len(tt.record.Images), got.Version, len(got.Images), len(c.records))
		}
		checkSize()
	}
	for i := range maxCacheSize {
		c.save(fmt.Sprint(i), newRecord("1", 0))
	}
	checkSize()
}
