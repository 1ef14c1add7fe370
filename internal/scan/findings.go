package scan

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// Listing is what was found in the images of one config.
type Listing struct {
	// Report has each image's result, without its findings.
	Report Report[Result]
	// Findings are the worst, newest first.
	Findings []ImageFinding
	// Total is how many findings there are, those that are not in Findings included.
	Total int
}

// Outage is the reason why nothing at all could be read just now, which another try may mend; nil when anything was read, or when ECR
// refuses for good.
func (l Listing) Outage() error {
	if l.Report.Err != nil {
		if CodeOf(l.Report.Err) == Unavailable {
			return l.Report.Err
		}
		return nil
	}
	for _, item := range l.Report.Images {
		if item.Image.Kind == PlainImage && item.Value.State != Unread {
			return nil
		}
	}
	for _, item := range l.Report.Images {
		if item.Value.State == Unread {
			return &Error{Code: Unavailable, Message: "The scan results can't be read just now: " + item.Value.Reason + "."}
		}
	}
	return nil
}

// ImageFinding is a finding in one image, named by its tag.
type ImageFinding struct {
	Image   Image
	Finding Finding
	// Published is when it was first seen, Updated when it last changed, as well as is known.
	Published, Updated time.Time
}

// Findings lists the findings of the config with this id, at most the given number of them, for which it keeps the worst. Errors: NotFound
// when there is no such config, Unavailable when it can't be read. What can't be read of ECR stands in the report.
func (w *Watch) Findings(ctx context.Context, id string, most int) (Listing, error) {
	config, err := w.Configs.Get(ctx, id)
	if err != nil {
		return Listing{}, err
	}
	kept := keeper{most: most}
	reports := walker[Result]{[]Config{config}, w.Registry.Images, func(ctx context.Context, same []Item[Result]) Result {
		result := w.read(ctx, same[0].Image, w.Registry.Findings)
		kept.add(same, result)
		result.Findings = nil
		return result
	}, findingsAtOnce}.walk(ctx)
	logFailures(ctx, w, reports)
	return Listing{Report: reports[0], Findings: kept.newestFirst(), Total: kept.total}, nil
}

// keeper keeps the worst findings of many images without holding them all: the findings of a thousand images don't fit into a function.
type keeper struct {
	mu    sync.Mutex
	most  int
	total int
	kept  []ImageFinding
}

func (k *keeper) add(same []Item[Result], result Result) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, item := range same {
		for _, f := range result.Findings {
			k.total++
			k.kept = append(k.kept, ImageFinding{
				Image: item.Image, Finding: f,
				Published: firstTime(f.FirstSeen, result.CompletedAt), Updated: firstTime(f.Changed, f.FirstSeen, result.CompletedAt),
			})
			if len(k.kept) >= 2*k.most+1000 {
				k.cut()
			}
		}
	}
}

func (k *keeper) cut() {
	if len(k.kept) <= k.most {
		return
	}
	slices.SortFunc(k.kept, worstFirst)
	clear(k.kept[k.most:]) // frees their strings
	k.kept = k.kept[:k.most]
}

func (k *keeper) newestFirst() []ImageFinding {
	k.cut()
	slices.SortFunc(k.kept, newestFirst)
	return k.kept
}

// Worst is the n worst of the findings, newest first.
func Worst(findings []ImageFinding, n int) []ImageFinding {
	k := keeper{most: n, kept: slices.Clone(findings)}
	return k.newestFirst()
}

func worstFirst(a, b ImageFinding) int {
	return cmp.Or(CompareSeverity(a.Finding.Severity, b.Finding.Severity), b.Updated.Compare(a.Updated), compareImageFindings(a, b))
}

func newestFirst(a, b ImageFinding) int {
	return cmp.Or(b.Updated.Compare(a.Updated), compareImageFindings(a, b))
}

func compareImageFindings(a, b ImageFinding) int {
	return cmp.Or(CompareFindings(a.Finding, b.Finding), compareImages(a.Image, b.Image),
		strings.Compare(a.Finding.Description, b.Finding.Description))
}

func firstTime(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
