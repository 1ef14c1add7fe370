package feed

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/render"
)

// newChangeEntry returns the entry of a change.
func newChangeEntry(s *source, c history.Change) entry {
	e := entry{id: s.idInFeed(c.ID()).URN(), published: c.At, updated: c.At}
	switch {
	case len(c.RolledUp) > 0:
		e.title, e.categories = rolledTitle(s, c), []string{"ROLLED UP"}
		e.summary, e.content = e.title, contentOf(e.title+".", rolledRows(c, s.limit), "")
	case c.Finding.Name != "":
		e.title = findingTitle(s, c)
		e.categories = []string{string(c.Kind), severityOf(c)}
		if c.Kind == history.Fixed {
			e.categories[1] = resolvedTerm
		}
		for _, pkg := range render.PackageTerms(c.Finding, maxTerms) {
			e.categories = append(e.categories, s.name(pkg))
		}
		description, advisory := descriptionOf(&c.Finding, s.limit), render.Advisory(c.Finding.URL, s.limit)
		e.summary = summaryOf(&c.Finding, cmp.Or(c.To, c.From), description, s.limit)
		e.url = s.links.of(c.Finding.Name, advisory, c.Repository)
		e.content = contentOf(description, changeRows(c, s.limit), advisory)
	default:
		words := render.WordsOfChange(c)
		e.title = "[" + words.Name + "] " + fmt.Sprintf(words.Sentence, imageOf(s, c))
		e.categories, e.summary = []string{words.Name}, e.title
		e.content = contentOf(words.Advice, changeRows(c, s.limit), "")
	}
	if e.url == "" {
		e.url = cmp.Or(render.ConsoleURL(c.Repository), s.links.Summary, consoleHome)
	}
	if c.Image != nil {
		e.categories = append(e.categories, s.name(c.Image.Label()))
	}
	e.categories = withoutEmpty(e.categories)
	return e
}

func severityOf(c history.Change) string { return render.OneLine(string(cmp.Or(c.To, c.From)), 50) }

func imageOf(s *source, c history.Change) string {
	if c.Suppression != nil {
		return s.name(c.Suppression.What)
	}
	if c.Image == nil {
		return c.Repository.Name
	}
	return c.Repository.Name + c.Image.Separator() + s.name(c.Image.Label())
}

func findingTitle(s *source, c history.Change) string {
	where, what := imageOf(s, c), findingName(s, c.Finding)
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

func kindName(c history.Change) string {
	if c.Finding.Name != "" {
		return string(c.Kind)
	}
	return render.WordsOfChange(c).Name
}

func changeRows(c history.Change, limit int) []row {
	f := c.Finding
	all := []row{
		{"Change", kindName(c)},
		{"Severity", string(c.To)},
		{"Severity before", string(c.From)},
		{"Related", strings.Join(f.Related, ", ")},
		{"CVSS score", scoreWords(&f)},
		{"Package", f.Package},
		{"Installed version", strings.Join(f.Versions, ", ")},
		{"Fixed in", strings.Join(f.FixedIn, ", ")},
		{"Packages", render.PackageWords(f, limit)},
		{"In use", render.UseWords(f.InUse, f.LastInUse, time.RFC3339)},
		{"Reason", c.Reason},
	}
	if c.Suppression != nil {
		all = append(all, row{"Suppression", c.Suppression.ID}, row{"Until", render.OptionalTime(c.Suppression.Until)}, row{"When", render.OptionalTime(c.At)})
		return nonEmpty(all, limit)
	}
	if c.Image != nil {
		all = append(all, row{"Image", c.Repository.Name + c.Image.Separator() + c.Image.Label()})
	} else {
		all = append(all, row{"Repository", c.Repository.Name})
	}
	all = append(all, row{"Registry", c.Repository.Registry + " in " + c.Repository.Region}, row{"Since", render.OptionalTime(c.Since)}, row{"When", render.OptionalTime(c.At)})
	return nonEmpty(all, limit)
}

// rolledTitle returns a title with the number of changes of each kind.
func rolledTitle(s *source, c history.Change) string {
	if c.Suppression != nil {
		return fmt.Sprintf("[%s] %d more suppressions", kindName(c), len(c.RolledUp))
	}
	counts := make(map[history.EventKind]int)
	for _, one := range c.RolledUp {
		counts[one.Kind]++
	}
	var words []string
	for _, kind := range []history.EventKind{history.New, history.Raised, history.Lowered, history.FixAvailable, history.Fixed} {
		if n := counts[kind]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, kind))
		}
	}
	return fmt.Sprintf("%d more changes in image %s: %s", len(c.RolledUp), imageOf(s, c), strings.Join(words, ", "))
}

// rolledRows lists as many changes as the limit allows, and counts the others.
func rolledRows(c history.Change, limit int) []row {
	var rows []row
	used := 0
	for i, one := range c.RolledUp {
		line := strings.TrimSpace(fmt.Sprintf("%s %s %s", severityOf(one), render.OneLine(one.Finding.Name, render.MaxName), render.OneLine(one.Finding.Package, render.MaxName)))
		if one.Suppression != nil {
			line = render.OneLine(one.Suppression.What+": "+one.Reason, render.MaxName)
		}
		if used += len(line) + len(one.Kind); i > 0 && used > 4*limit {
			return append(rows, row{"and", fmt.Sprintf("%d more", len(c.RolledUp)-i)})
		}
		rows = append(rows, row{string(one.Kind), line})
	}
	return append(rows, row{"When", c.At.UTC().Format(time.RFC3339)})
}
