package documents

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckOutput(t *testing.T) {
	const id = "01a22442-e3bd-7c4d-9eae-d6ae7207a502"
	for name, tt := range map[string]struct {
		language, shown, output string
		good                    bool
	}{
		"the same text":     {"", "a\n", "a\n", true},
		"a longer text":     {"", "a\n", "a\nb\n", false},
		"the same keys":     {"json", `{"a":1,"b":[{"c":"x"}]}`, `{"a":2,"b":[{"c":"y"},{"c":"z"}]}`, true},
		"one more key":      {"json", `{"a":1}`, `{"a":1,"b":2}`, false},
		"one key less":      {"json", `{"a":1,"b":2}`, `{"a":1}`, false},
		"another type":      {"json", `{"a":"1"}`, `{"a":1}`, false},
		"a shorter list":    {"json", `{"a":["x","y"]}`, `{"a":["x"]}`, false},
		"a key of a list":   {"json", `{"a":[{"b":1}]}`, `{"a":[{"c":1}]}`, false},
		"a part":            {"json", `"b":[1]`, `{"a":1,"b":[2]}`, true},
		"a missing part":    {"json", `"b":[1]`, `{"a":1}`, false},
		"no JSON":           {"json", `{"a":1}`, `a`, false},
		"another id":        {"xml", "<a>\n  …\n<id>" + id + "</id>", "<a>\n<b>\n<id>" + id[:35] + "0</id>", true},
		"another time":      {"xml", "<t>2026-11-27T21:24:50Z", "<t>2026-11-28T01:02:03Z", true},
		"a missing line":    {"xml", "<a>\n<b>", "<a>", false},
		"lines in disorder": {"xml", "<a>\n<b>", "<b>\n<a>", false},
	} {
		if err := CheckOutput(Block{Language: tt.language, Text: tt.shown}, tt.output); (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCommandsOfADocument(t *testing.T) {
	const source = "# One\n\n    a \\\n      b\n    # comment\n\n1. item\n\n       c\n\ntext\n\n```json\n{}\n```\n\n## Two\n\n```sh\n$ d\n```\n\n```\nshown\n```\n\n```\nother\n```\n"
	d, err := parse("a.md", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	commands, others := Commands([]Document{d})
	var got []string
	for _, c := range commands {
		line := c.String()
		if c.Shown != nil {
			line += " > " + c.Shown.Text
		}
		got = append(got, line)
	}
	if diff := cmp.Diff([]string{"a.md:4: a b", "a.md:9: c > {}\n", "a.md:20: d > shown\n"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if len(others) != 1 || others[0].Text != "other\n" || others[0].Section != "two" {
		t.Errorf("the other blocks are %v", others)
	}
}
