package s3store

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecr-continuous-scan/internal/history"
)

// Any object is either rejected or decodes to a record that is unchanged after it is written and read again.
func FuzzStoredRecord(f *testing.F) {
	f.Add(Format, []byte(`{"images":[{"t":"latest","p":"linux/arm64","d":"sha256:a","n":[0,1],"no":{"ODD":1},"c":5,"h":"x","hc":4,"he":true}],"listed":16,"taken":[{"from":1}]}`))
	f.Add(Format, []byte(`{"images":[{"t":"a"},{"t":"a"}],"images":null} {}`))
	f.Add(Format+1, []byte(`{}`))
	f.Fuzz(func(t *testing.T, format int, text []byte) {
		var stored bytes.Buffer
		zip := gzip.NewWriter(&stored)
		_, _ = fmt.Fprintf(zip, "%s%d\n%s", magic, format, text) // to memory
		_ = zip.Close()
		var read storedRecord
		if err := unpack(stored.Bytes(), &read); err != nil {
			if !errors.Is(err, errBroken) && !errors.Is(err, errNewer) {
				t.Errorf("unexpected error: %v", err)
			}
			return
		}
		record := read.record(object{})
		body, err := new(RecordWriter).pack(formatOf(record), newStoredRecord(record))
		if err != nil {
			t.Fatalf("%+v can't be written: %v", record, err)
		}
		var again storedRecord
		if err := unpack(body, &again); err != nil {
			t.Fatalf("%+v can't be read again: %v", record, err)
		}
		if diff := cmp.Diff(record, again.record(object{}), cmpopts.IgnoreUnexported(history.Record{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-first +again):\n%s", diff)
		}
	})
}

// Whatever the packed configs contain, only a true copy of the listed object is used.
func FuzzPackedConfigs(f *testing.F) {
	const id = "4471c156-29f5-40fe-883b-3cd26738d5a6"
	const body = `{"id":"` + id + `","created":"1","region":"us-west-2","registry":"123456789012","repository":"test/app","tags":null}`
	sum := md5.Sum([]byte(body))
	listed := listedConfig{id: id, etag: `"` + hex.EncodeToString(sum[:]) + `"`}
	packedOne, err := new(packer).pack(1, []packedConfig{newPackedConfig(listed, []byte(body))})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packedOne)
	f.Add([]byte(`[{"id":"` + id + `","etag":"","body":"{}"}]`))
	want, err := decode(id, []byte(body))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		var packed []packedConfig
		if err := new(unpacker).unpack(maxPackedConfigs, stored, &packed); err != nil {
			return
		}
		s, prefetched := &Configs{}, make(chan []packedConfig, 1)
		prefetched <- packed
		s.addPacked(t.Context(), []listedConfig{listed}, &packedRead{result: prefetched})
		if got, err, ok := s.cache.load(listed); ok && (err != nil || !cmp.Equal(want, got)) {
			t.Errorf("used %+v, %v", got, err)
		}
	})
}

// Any object is either rejected or decodes to suppressions that are unchanged after they are written and read again.
func FuzzStoredSuppressions(f *testing.F) {
	f.Add([]byte(`[{"id":"01a22719-a7ac-7c93-a66b-1bd425c98d79","created":"1795953600","package":"linux*","reason":"r","until":"2026-11-29T13:00:00+01:00"}]`))
	f.Add([]byte(`[{"id":"01a22719-a7ac-7c93-a66b-1bd425c98d79","created":"1","vulnerability":"CVE-*","reason":"r","updated":"2","replaced":"3","deleted":"4"}]`))
	f.Fuzz(func(t *testing.T, stored []byte) {
		all, err := decodeSuppressions(stored)
		if err != nil {
			return
		}
		body, err := encodeSuppressions(all)
		if err != nil {
			t.Fatalf("%+v can't be written: %v", all, err)
		}
		if again, err := decodeSuppressions(body); err != nil || !slices.Equal(all, again) {
			t.Errorf("%+v was read again as %+v, %v", all, again, err)
		}
	})
}

// The histories in the body of a pack are ranges of bytes, one after the other, and each can be read by its name.
func FuzzPack(f *testing.F) {
	one, err := new(packer).pack(1, history.History{Tag: "a"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, "d5aa2111-70a5-4cd6-a3c5-c70b0c2c31ab")
	f.Add(append(slices.Clone(one), one...), "d5aa2111-70a5-4cd6-a3c5-c70b0c2c31ab/0+5")
	f.Add(append(slices.Clone(one), "rest"...), "d5aa2111-70a5-4cd6-a3c5-c70b0c2c31ab/00+5")
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		end := int64(0)
		for p, err := range members(body) {
			if p.offset != end || p.length < 0 || p.offset+p.length > int64(len(body)) {
				t.Fatalf("%+v after %d of %d bytes", p, end, len(body))
			}
			if end = p.offset + p.length; err != nil {
				continue
			}
			p.pack = "d5aa2111-70a5-4cd6-a3c5-c70b0c2c31ab"
			if parsed, ok := parseName(p.name()); !ok || parsed != p {
				t.Fatalf("the name %q is of %+v, want %+v", p.name(), parsed, p)
			}
		}
		if p, ok := parseName(name); ok && p.length > 0 && p.name() != name {
			t.Fatalf("%q is parsed as %+v", name, p)
		}
		if parts, invalid := partsOf([]string{name, name}); len(parts) > 2 || len(parts) == 0 && len(invalid) != 2 {
			t.Fatalf("%+v, %v", parts, invalid)
		}
	})
}

// Any object is either rejected or decodes to patterns that a schedule can have stored, and that are unchanged after they are written and read again.
func FuzzStoredPatterns(f *testing.F) {
	const now = 1795953600
	f.Add(1, []byte(`{"patterns":{"123456789012 us-west-2 team/*":{"first":1795950000,"repositories":3,"failure":{"code":"","reason":"","since":0}}}}`))
	f.Add(1, []byte(`{"patterns":{"a":{"first":-1},"b":{"first":99999999999},"c":{"repositories":-1},"d":{"failure":{"code":"no access","since":99999999999}},"e":null}}`))
	f.Add(1, []byte(`{"patterns":null,"patterns":{"a":{}}} {}`))
	f.Add(Format+1, []byte(`{}`))
	f.Fuzz(func(t *testing.T, format int, text []byte) {
		var stored bytes.Buffer
		zip := gzip.NewWriter(&stored)
		_, _ = fmt.Fprintf(zip, "%s%d\n%s", magic, format, text) // to memory
		_ = zip.Close()
		found, err := unpackPatterns(stored.Bytes())
		if err != nil {
			if !errors.Is(err, errBroken) && !errors.Is(err, errNewer) || found != nil {
				t.Errorf("unexpected error: %v, with %v", err, found)
			}
			return
		}
		p := history.Patterns{ByKey: found, Now: now}
		p.Clean()
		for key, one := range p.ByKey {
			if one.First < 0 || one.First > now+3600 || one.Repositories < 0 || one.Failure.Since < 0 || one.Failure.Since > now+3600 {
				t.Errorf("%q: %+v", key, one)
			}
		}
		body, err := new(packer).packPatterns(p.ByKey)
		if err != nil {
			t.Fatalf("%+v can't be written: %v", p, err)
		}
		if again, err := unpackPatterns(body); err != nil || !maps.Equal(p.ByKey, again) {
			t.Errorf("%+v was read again as %+v, %v", p.ByKey, again, err)
		}
	})
}
