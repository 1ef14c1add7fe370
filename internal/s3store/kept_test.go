package s3store

import (
	"fmt"
	"testing"

	"ecr-continuous-scan/internal/history"
)

// What is kept is the latest, and never more than there is room for.
func TestKept(t *testing.T) {
	of := func(version string, images int) history.Record {
		r := history.Record{Version: version, Images: make(map[string]history.ImageRecord)}
		for i := range images {
			r.Images[fmt.Sprint(i)] = history.ImageRecord{}
		}
		return r
	}
	dated := func(r history.Record, periods int) history.Record {
		r.Taken = make(history.Seconds, periods)
		return r
	}
	changed := func(r history.Record, times int) history.Record {
		r.Images["0"] = history.ImageRecord{Changes: make([]history.CountChange, times)}
		return r
	}
	var k kept
	sized := func() {
		t.Helper()
		sum := 0
		for _, r := range k.records {
			sum += sizeOf(r.Record)
		}
		if k.size != sum || sum > mostKept {
			t.Errorf("%d of %d images are kept, counted as %d", sum, mostKept, k.size)
		}
	}
	for _, tt := range []struct {
		key    string
		record history.Record
		kept   bool
		all    int
	}{
		{"a", of("1", 10), true, 1},
		{"a", of("2", 20), true, 1},
		{"b", of("1", mostKept/4), true, 2},
		{"c", of("1", mostKept/4-200), true, 3},
		{"too large", of("1", mostKept/2), false, 3},
		{"too much of a past", changed(of("1", 1), mostKept), false, 3},
		{"too many dates", dated(of("1", 1), 32*mostKept), false, 3},
		{"a past", dated(changed(of("1", 1), 100), 320), true, 4},
		{"all", of("1", mostKept/2-1), true, 1},
		{"all", of("", 1), false, 0}, // was rebuilt, and not written yet
		{"none", of("1", 0), true, 1},
	} {
		k.keep(tt.key, tt.record)
		got := k.of(tt.key)
		if (got.Version == tt.record.Version && len(got.Images) == len(tt.record.Images)) != tt.kept || len(k.records) != tt.all {
			t.Errorf("%s of %d images: the version %q of %d, one of %d", tt.key, len(tt.record.Images), got.Version, len(got.Images), len(k.records))
		}
		sized()
	}
	for i := range mostKept {
		k.keep(fmt.Sprint(i), of("1", 0))
	}
	sized()
}
