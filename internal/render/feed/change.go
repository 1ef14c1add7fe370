package feed

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/render"
)

// newChangeEntry is the entry of a piece of news.
func newChangeEntry(c history.Change, room int) entry {
	name := func(s string) string { return render.OneLine(s, min(render.MaxName, max(room, 100))) }
	e := entry{id: c.ID().URN(), published: c.At, updated: c.At, url: render.Advisory(c.Finding, room)}
	switch {
	case len(c.Rolled) > 0:
		e.title, e.categories = rolledTitle(c, name), []string{"ROLLED UP"}
		e.summary, e.content = e.title, contentOf([]string{e.title + "."}, rolledRows(c, room), "")
	case c.Finding.Name != "":
		e.title = findingTitle(c, name)
		e.categories = []string{string(c.Kind), severityOf(c), name(c.Finding.Package)}
		e.summary = render.OneLine(descriptionOf(c.Finding, room), min(render.MaxSummary, room))
		e.content = contentOf(emptyLine.Split(descriptionOf(c.Finding, room), -1), changeRows(c, room), e.url)
	default:
		e.title, e.categories = watchTitle(c, name), []string{string(c.Kind)}
		e.summary, e.content = e.title, contentOf([]string{watchAdvice(c)}, changeRows(c, room), "")
	}
	if c.Image != nil {
		e.categories = append(e.categories, name(c.Image.Label()))
	}
	e.categories = slices.DeleteFunc(e.categories, func(term string) bool { return term == "" })
	e.url = cmp.Or(e.url, render.ConsoleURL(c.Repository))
	return e
}

// severityOf is the severity that a change led to, or from when there is none any more.
func severityOf(c history.Change) string { return render.OneLine(string(cmp.Or(c.To, c.From)), 50) }

func imageOf(c history.Change, name func(string) string) string {
	if c.Image == nil {
		return c.Repository.Name
	}
	return c.Repository.Name + ":" + name(c.Image.Label())
}

func findingTitle(c history.Change, name func(string) string) string {
	where, what := imageOf(c, name), name(c.Finding.Name)
	switch c.Kind {
	case history.Fixed:
		return fmt.Sprintf("[FIXED] [%s] in image %s: %s is no longer found", severityOf(c), where, what)
	case history.Raised, history.Lowered:
		return fmt.Sprintf("[%s] [%s] in image %s found %s, was %s", c.Kind, severityOf(c), where, what, render.OneLine(string(c.From), 50))
	case history.FixAvailable:
		return fmt.Sprintf("[FIX AVAILABLE] [%s] in image %s for %s", severityOf(c), where, what)
	}
	return fmt.Sprintf("[%s] [%s] in image %s found %s", c.Kind, severityOf(c), where, what)
}

func watchTitle(c history.Change, name func(string) string) string {
	where := imageOf(c, name)
	switch c.Kind {
	case history.Unscanned:
		return fmt.Sprintf("[NOT SCANNED] image %s has had no completed scan for 2 days", where)
	case history.Scanned:
		return fmt.Sprintf("[NOT SCANNED, OVER] image %s was scanned again", where)
	case history.Failing:
		return fmt.Sprintf("[SCAN FAILED] image %s can't be scanned", where)
	case history.Recovered:
		return fmt.Sprintf("[SCAN FAILED, OVER] the scans of image %s no longer fail", where)
	case history.RepositoryGone:
		return fmt.Sprintf("[REPOSITORY GONE] the registry has no repository %s in %s any more", where, c.Repository.Region)
	}
	return fmt.Sprintf("[REPOSITORY GONE, OVER] the registry has the repository %s in %s again", where, c.Repository.Region)
}

// watchAdvice is what to do about it.
func watchAdvice(c history.Change) string {
	switch c.Kind {
	case history.Unscanned:
		return "What is known of this image gets older. See what the summary says of it, and whether the scan runs go well."
	case history.Failing:
		return "Until a scan succeeds, what was known before is all that is known of this image."
	case history.RepositoryGone:
		return "Nothing is watched there. If the repository was deleted for good, delete the scan config."
	}
	return "All is well again."
}

func changeRows(c history.Change, room int) []row {
	f := c.Finding
	all := []row{
		{"Change", string(c.Kind)},
		{"Severity", string(c.To)},
		{"Severity before", string(c.From)},
		{"CVSS score", strings.TrimSpace(f.Score + " " + f.Vector)},
		{"Package", f.Package},
		{"Installed version", strings.Join(f.Versions, ", ")},
		{"Fixed in", strings.Join(f.FixedIn, ", ")},
		{"Reason", c.Reason},
	}
	if c.Image != nil {
		all = append(all, row{"Image", c.Repository.Name + ":" + c.Image.Label()})
	} else {
		all = append(all, row{"Repository", c.Repository.Name})
	}
	all = append(all, row{"Registry", c.Repository.Registry + " in " + c.Repository.Region}, row{"Since", render.OptionalTime(c.Since)}, row{"When", render.OptionalTime(c.At)})
	return filled(all, room)
}

// rolledTitle counts the changes by kind.
func rolledTitle(c history.Change, name func(string) string) string {
	counts := make(map[history.EventKind]int)
	for _, one := range c.Rolled {
		counts[one.Kind]++
	}
	var words []string
	for _, kind := range []history.EventKind{history.New, history.Raised, history.Lowered, history.FixAvailable, history.Fixed} {
		if n := counts[kind]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, kind))
		}
	}
	return fmt.Sprintf("%d more changes in image %s: %s", len(c.Rolled), imageOf(c, name), strings.Join(words, ", "))
}

// rolledRows list as many changes as there is room for, and count the rest.
func rolledRows(c history.Change, room int) []row {
	var rows []row
	used := 0
	for i, one := range c.Rolled {
		line := strings.TrimSpace(fmt.Sprintf("%s %s %s", severityOf(one), render.OneLine(one.Finding.Name, render.MaxName), render.OneLine(one.Finding.Package, render.MaxName)))
		if used += len(line) + len(one.Kind); i > 0 && used > 4*room {
			return append(rows, row{"and", fmt.Sprintf("%d more", len(c.Rolled)-i)})
		}
		rows = append(rows, row{string(one.Kind), line})
	}
	return append(rows, row{"When", c.At.UTC().Format(time.RFC3339)})
}
