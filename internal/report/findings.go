package report

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
)

// Listing is what was found in the images of one config, or of all.
type Listing struct {
	// Config is the one whose findings these are, nil when they are those of all.
	Config *scan.Config
	// Reports has each config's images with their results, without findings. Images that the view's filter leaves out are not in it.
	Reports []Report
	View    View
	// Entries are one page of the list, which is ordered worst first; within the page the newest come first.
	Entries []Entry
	// News tells that it is a list of what changed: then Changes are the page, newest first, and there are no Entries.
	News    bool
	Changes []history.Change
	// Total is how many entries, or changes, the whole list has.
	Total int
	// Changed is when anything of it changed last, as far as the images and their findings go; zero when that is unknown.
	Changed time.Time
	// Incomplete is why some changes could not be read; nil when all were.
	Incomplete error
}

// Pages is how many pages of the list can be asked for, at least 1.
func (l Listing) Pages() int { return max(1, min(MaxPages, (l.Total+PageSize-1)/PageSize)) }

// FeedID is the identity of the feed, the same for all its pages.
func (l Listing) FeedID() uuid.UUID {
	of := "all configs"
	if l.Config != nil {
		of = l.Config.ID
	}
	name := []string{"feed", of}
	if l.News {
		name = append(name, "changes")
	}
	return scan.NameID(append(name, l.View.parts()...)...)
}

// EntryID is the identity of an entry of the listing over time.
func (l Listing) EntryID(e Entry) uuid.UUID {
	if l.View.ByVulnerability {
		return scan.VulnerabilityID(e.Images[0].Repository, e.Finding)
	}
	return scan.FindingID(*e.Images[0], e.Finding)
}

// Outage is the reason why nothing at all could be read just now, or not all of the changes, which another try may mend; nil when anything was
// read, or when ECR refuses for good.
func (l Listing) Outage() error {
	if l.Incomplete != nil {
		return l.Incomplete
	}
	var outage error
	for _, r := range l.Reports {
		if wasRead(r) || l.News && scan.IsNotAsked(r.Err) {
			return nil
		}
		if outage == nil {
			outage = outageOf(r)
		}
	}
	return outage
}

func wasRead(r Report) bool {
	return slices.ContainsFunc(r.Images, func(i Item) bool {
		return i.Image.Kind == scan.PlainImage && i.Result.State != scan.Unread && i.Result.State != scan.Refused
	})
}

func outageOf(r Report) error {
	if r.Err != nil {
		if scan.CodeOf(r.Err) == scan.Unavailable {
			return r.Err
		}
		return nil
	}
	for _, item := range r.Images {
		if item.Image.Kind == scan.PlainImage && item.Result.State != scan.Unread {
			return nil
		}
	}
	for _, item := range r.Images {
		if item.Result.State == scan.Unread {
			return &scan.Error{Code: scan.Unavailable, Message: "The scan results can't be read just now: " + item.Result.Reason + "."}
		}
	}
	return nil
}

// Findings lists the findings of the config with this id. Errors: NotFound when there is no such config, Unavailable when it can't be read,
// Invalid when the view has more to group than fits. What can't be read of ECR stands in the reports.
func (r *Reader) Findings(ctx context.Context, id string, v View) (Listing, error) {
	config, err := r.Configs.Get(ctx, id)
	if err != nil {
		return Listing{}, err
	}
	l, err := r.list(ctx, []scan.Config{config}, oneConfig, v)
	l.Config = &config
	return l, err
}

// AllFindings lists the findings of all configs, each once, however many configs watch its image. Errors: Unavailable when the configs can't
// be read, Invalid as with Findings. What can't be read of ECR stands in the reports.
func (r *Reader) AllFindings(ctx context.Context, v View) (Listing, error) {
	configs, err := r.Configs.List(ctx)
	if err != nil {
		return Listing{}, err
	}
	return r.list(ctx, configs, allConfigs, v)
}

func (r *Reader) list(ctx context.Context, configs []scan.Config, of scope, v View) (Listing, error) {
	found := newGathering(v)
	q := request{Reader: r, scope: of, filter: v.Filter}
	q.each = func(ctx context.Context, r *refresh.Refresher, _ []scan.Config, items []Item) {
		q.gather(ctx, r, items, found)
	}
	reports := q.answer(ctx, configs)
	entries, total := found.page()
	if v.ByVulnerability && total > maxGroups {
		return Listing{}, &scan.Error{
			Code: scan.Invalid, Message: fmt.Sprintf("There are more than %d vulnerabilities to group: narrow the feed with severity, tag, package or cve.", maxGroups),
			Fields: []scan.FieldError{{Pointer: "/by", Detail: "can't group so many"}},
		}
	}
	return Listing{Reports: reports, View: v, Entries: entries, Total: total, Changed: q.lastChange(reports, found.left)}, nil
}

// gather takes in the histories of the images of a repository. An image whose history can't be read has no result.
func (q *request) gather(ctx context.Context, r *refresh.Refresher, items []Item, found *gathering) {
	var wg sync.WaitGroup
	now := r.Clock()
	for i := range items {
		item := &items[i]
		if item.Image.Kind != scan.PlainImage || !q.filter.MatchesImage(item.Image) {
			continue
		}
		q.histories <- struct{}{}
		wg.Go(func() {
			defer func() { <-q.histories }()
			h, err := q.historyOf(ctx, r, item.Image)
			if err != nil {
				item.Result = refresh.Unanswered(item.Image, err)
				return
			}
			image := item.Image
			found.add(&image, h, now)
		})
	}
	wg.Wait()
}
