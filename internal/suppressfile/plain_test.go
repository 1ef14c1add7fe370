package suppressfile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
	"ecr-continuous-scan/internal/suppressfile"
)

// Each id of a vulnerability becomes a suppression in all images. The file does not say what its other ids are of, so they are only counted.
func TestPlainTrivyIgnore(t *testing.T) {
	file, err := suppressfile.PlainTrivyIgnore(read(t, "trivyignore.txt"), "", now)
	if err != nil {
		t.Fatal(err)
	}
	const reason = " | from .trivyignore"
	want := []string{
		"CVE-2019-0001" + reason,
		"CVE-2019-0002" + reason,
		"CVE-2019-0004 | 2027-01-31T00:00:00Z" + reason,
		"CVE-2019-0005 | 9999-01-01T00:00:00Z" + reason,
		"CVE-2019-0006 | 2027-02-01T00:00:00Z" + reason,
		"CVE-2019-0007" + reason,
		"CVE-2019-0008 | 2027-01-31T00:00:00Z" + reason,
		"CVE-2019-0009" + reason,
		"GHSA-jfh8-c2jp-5v3q" + reason,
		"RHSA-2023:1234" + reason,
		"DLA-3530-1" + reason,
		"IN1-JAVA-ORGAPACHELOGGINGLOG4J-2314720" + reason,
	}
	if diff := cmp.Diff(want, lines(t, file.Drafts)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[suppressfile.Skip]int{suppressfile.Ended: 2, suppressfile.OtherIDs: 8}, file.Skipped); diff != "" || len(file.Unsupported) > 0 {
		t.Error(diff, file.Unsupported)
	}
}

func TestEndsAndReasonsOfAPlainTrivyIgnore(t *testing.T) {
	at := func(s string) time.Time {
		at, err := time.Parse(time.DateTime, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	body := []byte("\ufeffCVE-1234\r\n\tCVE-1235 exp:2027-01-31\r\n#")
	file, err := suppressfile.PlainTrivyIgnore(body, "quarterly review", at("2027-01-30 23:59:59"))
	if diff := cmp.Diff([]string{"CVE-1234 | quarterly review", "CVE-1235 | 2027-01-31T00:00:00Z | quarterly review"}, lines(t, file.Drafts)); diff != "" || err != nil {
		t.Error(diff, err)
	}
	file, err = suppressfile.PlainTrivyIgnore(body, "", at("2027-01-31 00:00:00"))
	if len(file.Drafts) != 1 || file.Skipped[suppressfile.Ended] != 1 || err != nil {
		t.Errorf("%+v, %v", file, err)
	}
	file, err = suppressfile.PlainTrivyIgnore([]byte("# nothing\n"), "", now)
	if len(file.Drafts) != 0 || err != nil {
		t.Errorf("only a comment: %+v, %v", file, err)
	}
}

// A wrong line is named with its number. Nothing of the file is used.
func TestMalformedPlainTrivyIgnore(t *testing.T) {
	const noID, wrongEnd, joined = "must begin with an id", "must be a date, such as exp:2027-01-31", "--data-binary"
	for name, test := range map[string]struct {
		body string
		want []string // what the errors contain, in this order
	}{
		"empty":                         {" \n\n", []string{"empty"}},
		"YAML":                          {"vulnerabilities:\n- id: CVE-1\n", []string{"line 1: " + noID, "line 2: " + noID}},
		"JSON":                          {`{"package":"linux*","reason":"a"}`, []string{"line 1: " + noID}},
		"a pattern":                     {"CVE-2023-0001\n\nCVE-2023-*\n", []string{"line 3: " + noID}},
		"no date":                       {"# a\nCVE-2023-0001 exp:soon\nCVE-2023-0002 exp:\n", []string{"line 2: the end " + wrongEnd, "line 3: the end " + wrongEnd}},
		"a time":                        {"CVE-2023-0001 exp:2027-01-31T00:00:00Z\n", []string{"line 1: the end " + wrongEnd}},
		"an impossible day":             {"CVE-2023-0001 exp:2027-02-30\n", []string{"line 1: the end " + wrongEnd}},
		"an end in other words":         {"CVE-2023-0001 expires:2027-01-31\nCVE-2023-0002 exp=2027-01-31\nCVE-2023-0003 EXP:2027-01-31\n", []string{"line 1: the end " + wrongEnd, "line 2: the end " + wrongEnd, "line 3: the end " + wrongEnd}},
		"two ids":                       {"CVE-2023-0001 CVE-2023-0002\n", []string{"line 1: has two ids"}},
		"ids without ends of lines":     {"CVE-2023-0001CVE-2023-0002", []string{joined}},
		"a comment without end of line": {"# accepted risks CVE-2023-0002", []string{joined}},
		"lines joined after a comment":  {"CVE-2023-0001 # a CVE-2023-0002", []string{joined}},
		"an id of 257 characters":       {"CVE-" + strings.Repeat("1", 253) + "\n", []string{"line 1: " + noID}},
		"not UTF-8":                     {"CVE-2023-\xff\n", []string{"line 1: " + noID}},
		"large":                         {strings.Repeat("#", suppressfile.MaxSize+1), []string{"at most"}},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := suppressfile.PlainTrivyIgnore([]byte(test.body), "", now)
			e, ok := errors.AsType[*scan.Error](err)
			if !ok || e.Code != scan.Invalid || len(file.Drafts) > 0 || len(e.Fields) != len(test.want) {
				t.Fatalf("%+v, %v", file, err)
			}
			for i, want := range test.want {
				if !strings.Contains(e.Fields[i].Detail, want) {
					t.Errorf("%q, want %q", e.Fields[i].Detail, want)
				}
			}
		})
	}
	if _, err := suppressfile.PlainTrivyIgnore([]byte(strings.Repeat("CVE-1234\n", suppress.MaxCount+1)), "", now); !errors.Is(err, suppress.ErrFull) {
		t.Error(err)
	}
}

func FuzzPlainTrivyIgnore(f *testing.F) {
	f.Add([]byte("# a\nCVE-2019-0001 exp:2030-01-01 key:value\r\nAVD-AWS-0104\n\nprivate-key # b\n"), "reason")
	f.Add([]byte("CVE-1234 exp:10000-01-01"), "")
	f.Fuzz(func(t *testing.T, body []byte, reason string) {
		if suppress.ValidReason(reason) {
			file, err := suppressfile.PlainTrivyIgnore(body, reason, now)
			checkFile(t, file, err)
		}
	})
}
