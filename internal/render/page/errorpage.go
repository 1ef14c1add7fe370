package page

import (
	"fmt"
	"strings"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/scan"
)

// Problem is an error of a request, with the fields of its problem document.
type Problem struct {
	Status        int
	Title, Detail string
	Errors        []scan.FieldError
	// Reasons are the reasons why a gate failed, and ReasonsOmitted is the number of further reasons.
	Reasons        []render.GateReason
	ReasonsOmitted int
	// Advice says what the user of a browser can do. It may be empty. If NeedsKey is true, the page says how to give a key.
	Advice   string
	NeedsKey bool
}

// errorPage is the data of the page of an error.
type errorPage struct {
	Problem
	Wrong []wrongField
}

// wrongField is a wrong parameter or field. Name is empty if the whole request is wrong.
type wrongField struct{ Name, Detail string }

// Error returns an error as a page. to is nil if the page must have no links, because the client may not know what the API has.
func Error(p Problem, to Link) ([]byte, error) {
	heading := fmt.Sprintf("%d %s", p.Status, p.Title)
	frame := page{Title: pageTitle(heading), Heading: heading}
	if to != nil {
		frame = newPage(heading, to, "", navItem{Text: p.Title})
	}
	main := errorPage{Problem: p}
	for _, e := range p.Errors {
		name := strings.NewReplacer("~1", "/", "~0", "~").Replace(strings.TrimPrefix(e.Pointer, "/"))
		main.Wrong = append(main.Wrong, wrongField{render.OneLine(name, render.MaxName), render.OneLine(e.Detail, render.MaxSummary)})
	}
	frame.Main = main
	return frame.write(errorTemplate())
}
