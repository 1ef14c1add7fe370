//go:build consumers

package consumers

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/package-url/packageurl-go"
)

// Python's strict reader and Papa Parse read the same cells as Go's reader, with all lists and special characters.
func TestTables(t *testing.T) {
	s := start(t, folders()...)
	folder := t.TempDir()
	for name, path := range map[string]string{
		"findings": "/findings/all?format=csv", "safe": "/findings/all?format=csv&safe=spreadsheet", "grouped": "/findings/all?format=csv&by=vulnerability", "summary": "/summary?format=csv",
	} {
		file := s.save(path, folder, name+".csv")
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := csv.NewReader(strings.NewReader(string(content))).ReadAll()
		if err != nil || len(want) < 3 {
			t.Fatalf("%s: %d rows, %v", name, len(want), err)
		}
		python := run(t, "python3", "-c", "import csv, json, sys\nprint(json.dumps(list(csv.reader(open(sys.argv[1], newline='', encoding='utf-8'), strict=True))))", file)
		papa := node(t, fmt.Sprintf(`
const r = require(%q).parse(require("fs").readFileSync(process.argv[1], "utf8"), {skipEmptyLines: true});
if (r.errors.length) throw new Error(JSON.stringify(r.errors));
console.log(JSON.stringify(r.data));`, module(t, "papaparse")), file)
		for reader, out := range map[string]string{"Python": python, "Papa Parse": papa} {
			var got [][]string
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s reads %s differently (-want +got):\n%.2000s", reader, name, diff)
			}
		}
	}
}

// packageurl-js reads each purl with the same parts as packageurl-go. It writes some of them differently.
func TestPurls(t *testing.T) {
	s := start(t, folders()...)
	rows, err := csv.NewReader(strings.NewReader(string(s.get("/findings/all?format=csv")))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := slices.Index(rows[0], "purl")
	var purls []string
	for _, row := range rows[1:] {
		if cell := row[column]; cell != "" {
			purls = append(purls, strings.Split(cell, " | ")...)
		}
	}
	list, err := json.Marshal(purls)
	if err != nil {
		t.Fatal(err)
	}
	out := node(t, fmt.Sprintf(`
const { PackageURL } = require(%q);
console.log(JSON.stringify(JSON.parse(process.argv[1]).map(s => {
  const p = PackageURL.fromString(s);
  return [p.type, p.namespace || "", p.name, p.version || "", p.qualifiers || {}];
})));`, module(t, "packageurl-js")), string(list))
	var got [][]any
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	types := map[string]bool{}
	for i, s := range purls {
		p, err := packageurl.FromString(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		types[p.Type] = true
		qualifiers := map[string]any{}
		for _, q := range p.Qualifiers {
			qualifiers[q.Key] = q.Value
		}
		if diff := cmp.Diff([]any{p.Type, p.Namespace, p.Name, p.Version, qualifiers}, got[i]); diff != "" {
			t.Errorf("%s (-packageurl-go +packageurl-js):\n%s", s, diff)
		}
	}
	for _, kind := range []string{"deb", "maven", "npm", "golang", "pypi"} {
		if !types[kind] {
			t.Errorf("no purl has the type %s", kind)
		}
	}
	t.Logf("%d purls", len(purls))
}
