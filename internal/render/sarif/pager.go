package sarif

import (
	"encoding/json"

	"ecr-continuous-scan/internal/render"
)

// maxResults is the maximum number of results of a log. GitHub shows only 5,000 results of a run.
const maxResults = 5000

// pager divides results into pages of at most maxResults and maxSize. It keeps only the page with this number.
type pager struct {
	number   int
	maxSizes [2]int // of the rules and the results of the first page and of each other page, in bytes as sent
	done     int    // pages before the current one
	current  page
	kept     page
	total    int
	err      error
	// sayAll means that each result says which suppressions it has. SARIF wants that all results of a run say it, or none.
	sayAll bool
}

func (p *pager) addFinding(d render.FindingData) {
	p.add(ruleID(d), func(r ruleOnPage) ruleOnPage {
		r.vulnerability = r.with(d)
		return r
	}, func(rule int) result { return findingResult(d, rule) })
}

func (p *pager) addState(level string, of func(rule int) result) {
	p.add(notScanned, func(r ruleOnPage) ruleOnPage {
		r.isState, r.Default.Level = true, worse(r.Default.Level, level)
		return r
	}, of)
}

// add adds a result to the current page, or to the next one if it does not fit. with returns its rule with the result added to it, and of returns
// the result.
func (p *pager) add(id string, with func(ruleOnPage) ruleOnPage, of func(rule int) result) {
	if p.err != nil {
		return
	}
	if p.sayAll {
		of = withSuppressions(of)
	}
	var fits bool
	if fits, p.err = p.current.add(id, with, of, p.maxSizes[min(p.done, 1)]); !fits && p.err == nil {
		if p.done++; p.done == p.number {
			p.kept = p.current
		}
		p.current = page{}
		_, p.err = p.current.add(id, with, of, p.maxSizes[1])
	}
	p.total++
}

// withSuppressions returns a function that returns the same result with a list of suppressions, which can be empty.
func withSuppressions(of func(rule int) result) func(rule int) result {
	return func(rule int) result {
		r := of(rule)
		r.Suppressions = &[]suppression{}
		if d, ok := r.Properties.(render.FindingData); ok && d.Suppressed != nil {
			*r.Suppressions = append(*r.Suppressions, suppression{"external", "accepted", d.Suppressed.Reason})
		}
		return r
	}
}

func (p *pager) pages() int { return p.done + 1 }

// wanted returns the page that the pager keeps; empty if there is no such page.
func (p *pager) wanted() page {
	if p.number == p.pages() {
		return p.current
	}
	return p.kept
}

// page contains results and their rules.
type page struct {
	results []json.RawMessage
	rules   []ruleOnPage
	index   map[string]int // of rules by their ids
	size    int
}

// ruleOnPage is either a vulnerability or the rule for images without a current result.
type ruleOnPage struct {
	vulnerability
	isState bool
	size    int
}

func (r ruleOnPage) describe() rule {
	if r.isState {
		return notScannedRule(r.Default.Level)
	}
	return r.vulnerability.describe()
}

func (p *page) describe() []rule {
	rules := make([]rule, len(p.rules))
	for i, r := range p.rules {
		rules[i] = r.describe()
	}
	return rules
}

// add adds a result unless the page would become too large. The first result always fits.
func (p *page) add(id string, with func(ruleOnPage) ruleOnPage, of func(rule int) result, maxSize int) (fits bool, err error) {
	var old ruleOnPage
	at, known := p.index[id]
	if known {
		old = p.rules[at]
	} else {
		at = len(p.rules)
	}
	next := with(old)
	described, err := encode(next.describe())
	if err != nil {
		return false, err
	}
	one, err := encode(of(at))
	if err != nil {
		return false, err
	}
	next.size = render.SentSize(described)
	size := p.size + next.size - old.size + render.SentSize(one) // the line break of each counts for the comma
	if len(p.results) == maxResults || len(p.results) > 0 && size > maxSize {
		return false, nil
	}
	if p.index == nil {
		p.index = make(map[string]int)
	}
	if !known {
		p.rules = append(p.rules, ruleOnPage{})
	}
	p.rules[at], p.index[id], p.size, p.results = next, at, size, append(p.results, one)
	return true, nil
}
