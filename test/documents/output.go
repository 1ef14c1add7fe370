package documents

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// CheckOutput compares the output of a command with a block of a document. A block without a language must be the whole
// output. A block of JSON must have the same keys and types; without its outer braces it is a part of the output. A block
// of another language must have lines of the output, in the same order, but for ids, times and lines with "…".
func CheckOutput(shown Block, output string) error {
	switch shown.Language {
	case "":
		if output != shown.Text {
			return fmt.Errorf("%s:%d shows\n%s\nthe output is\n%s", shown.Document, shown.Line, shown.Text, output)
		}
		return nil
	case "json":
		if err := checkJSON(shown.Text, output); err != nil {
			return fmt.Errorf("%s:%d: %w; the output is\n%s", shown.Document, shown.Line, err, output)
		}
		return nil
	}
	rest := withoutIDs(output)
	for line := range strings.Lines(withoutIDs(shown.Text)) {
		line = strings.TrimSpace(line)
		if line == "…" {
			continue
		}
		_, after, found := strings.Cut(rest, line)
		if !found {
			return fmt.Errorf("%s:%d: %s is not in the output\n%.2000s", shown.Document, shown.Line, line, output)
		}
		rest = after
	}
	return nil
}

var idOrTime = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

func withoutIDs(text string) string { return idOrTime.ReplaceAllString(text, "*") }

func checkJSON(shown, output string) error {
	var want, got any
	part := json.Unmarshal([]byte(shown), &want) != nil
	if part {
		if err := json.Unmarshal([]byte("{"+shown+"}"), &want); err != nil {
			return fmt.Errorf("the block is not JSON: %w", err)
		}
	}
	if err := json.Unmarshal([]byte(output), &got); err != nil {
		return fmt.Errorf("the output is not JSON: %w", err)
	}
	if object, isObject := got.(map[string]any); part && isObject {
		maps.DeleteFunc(object, func(key string, _ any) bool { return want.(map[string]any)[key] == nil })
	}
	return sameShape(want, got, "")
}

// sameShape compares keys and types. Each shown element of a list must have the shape of the element at its place.
func sameShape(shown, output any, at string) error {
	if fmt.Sprintf("%T", shown) != fmt.Sprintf("%T", output) {
		return fmt.Errorf("%s is %v, shown is %v", at, output, shown)
	}
	switch shown := shown.(type) {
	case map[string]any:
		object := output.(map[string]any)
		keys, want := slices.Sorted(maps.Keys(object)), slices.Sorted(maps.Keys(shown))
		if !slices.Equal(keys, want) {
			return fmt.Errorf("%s/ has the keys %q, shown are %q", at, keys, want)
		}
		var errs []error
		for _, key := range keys {
			errs = append(errs, sameShape(shown[key], object[key], at+"/"+key))
		}
		return errors.Join(errs...)
	case []any:
		list := output.([]any)
		if len(list) < len(shown) {
			return fmt.Errorf("%s has %d elements, shown are %d", at, len(list), len(shown))
		}
		var errs []error
		for i := range shown {
			errs = append(errs, sameShape(shown[i], list[i], fmt.Sprintf("%s/%d", at, i)))
		}
		return errors.Join(errs...)
	}
	return nil
}
