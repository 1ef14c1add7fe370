package page

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"ecr-continuous-scan/internal/scan"
)

// filterForm is the form with the filters of a page. A browser removes the query of a form's URL, so the other parameters are hidden fields.
type filterForm struct {
	About, Action                   string
	Hidden, Selects, Inputs, Checks []field
	Clear                           string // the URL of the page without a filter; empty when there is no filter
}

type (
	// field is a field of a form: hidden, a list of choices, a text or a checkbox.
	field struct {
		ID, Name, Label, Value string
		List                   string // the id of a list of suggestions
		Pattern, Hint          string // the values that the browser accepts, as a pattern and in words
		Choices                []choice
		None                   string // the text for no choice
		Checked                bool
	}
	choice struct {
		Value, Text string
		Chosen      bool
	}
)

// newFilterForm returns a form with a field for each of the filters. params are the parameters of the page; those without a field are kept.
func newFilterForm(to Link, path string, params url.Values, filters []scan.FilterRow, f scan.Filter) filterForm {
	keep := maps.Clone(params)
	for _, row := range filters {
		delete(keep, row.Name)
	}
	form := filterForm{}
	var query string
	form.Action, query, _ = strings.Cut(to(path, keep), "?")
	values, _ := url.ParseQuery(query) // never fails: Link has encoded it
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[name] {
			form.Hidden = append(form.Hidden, field{Name: name, Value: value})
		}
	}
	for _, row := range filters {
		if values := row.Values(f); len(values) > 0 || !row.Rare {
			form.add(row, values)
		}
	}
	if !f.IsZero() {
		form.Clear = to(path, keep)
	}
	return form
}

// add adds the field of a filter with its current values.
func (f *filterForm) add(row scan.FilterRow, values []string) {
	label := strings.ToUpper(row.Noun[:1]) + row.Noun[1:]
	switch {
	case row.IsSwitch():
		f.Checks = append(f.Checks, field{Name: row.Name, Label: label, Checked: len(values) > 0})
	case row.Choices != nil:
		f.Selects = append(f.Selects, field{Name: row.Name, Label: label, Choices: choicesOf(row, values), None: cmp.Or(row.None, "Any")})
	default:
		f.addInputs(field{Name: row.Name, Label: label, Pattern: row.Pattern, Hint: row.Hint}, values)
	}
}

func choicesOf(row scan.FilterRow, values []string) []choice {
	var choices []choice
	for i, value := range row.Choices {
		text := value[:1] + strings.ToLower(value[1:])
		if len(row.Texts) > 0 {
			text = strings.ToUpper(row.Texts[i][:1]) + row.Texts[i][1:]
		} else if i > 0 {
			text += " and above"
		}
		choices = append(choices, choice{value, text, slices.Contains(values, value)})
	}
	return choices
}

// addInputs adds a text input for each value of a filter, or an empty one when there is no value.
func (f *filterForm) addInputs(one field, values []string) {
	if len(values) == 0 {
		values = []string{""}
	}
	name, label := one.Name, one.Label
	for i, value := range values {
		one.ID, one.Value = name, value
		if i > 0 {
			one.ID, one.Label = fmt.Sprintf("%s-%d", name, i+1), "or "+strings.ToLower(label)
		}
		f.Inputs = append(f.Inputs, one)
	}
}

// suggest sets the list of suggestions for the inputs of a filter. list is the id of the list.
func (f *filterForm) suggest(name, list string) {
	for i := range f.Inputs {
		if f.Inputs[i].Name == name {
			f.Inputs[i].List = list
		}
	}
}
