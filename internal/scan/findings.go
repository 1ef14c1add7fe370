package scan

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// PageSize is how many entries a page of a feed has at most: readers refuse feeds of tens of megabytes.
const PageSize = 500

// MaxPages is how many pages a feed has at most. To show one, the findings of all pages up to it are held in memory; what lies behind the
// last is counted, and can be reached with a filter.
const MaxPages = 40

// View is what a feed shows of the findings, and how.
type View struct {
	Filter Filter
	// ByVulnerability makes one entry of a vulnerability in a package for all images of a repository, instead of one for each.
	ByVulnerability bool
	// Page counts from 1, which is the page that readers see; 0 means 1.
	Page int
	// Order is how the list is sorted, and Reverse turns an order that has a name around. Neither makes another feed of it.
	Order   Order
	Reverse bool
}

func (v View) page() int { return max(v.Page, 1) }

// parts are what makes the feed of one view another feed than that of the plain view. The page does not.
func (v View) parts() []string {
	if v.ByVulnerability {
		return append([]string{"by=vulnerability"}, v.Filter.parts()...)
	}
	return v.Filter.parts()
}

// Listing is what was found in the images of one config, or of all.
type Listing struct {
	// Config is the one whose findings these are, nil when they are those of all.
	Config *Config
	// Reports has each config's images with their results, without findings. Images that the view's filter leaves out are not in it.
	Reports []Report[Result]
	View    View
	// Entries are one page of the list, which is ordered worst first; within the page the newest come first.
	Entries []Entry
	// News tells that it is a list of what changed: then Changes are the page, newest first, and there are no Entries.
	News    bool
	Changes []Change
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
	return nameID(append(name, l.View.parts()...)...)
}

// EntryID is the identity of an entry of the listing over time.
func (l Listing) EntryID(e Entry) uuid.UUID {
	if l.View.ByVulnerability {
		return VulnerabilityID(e.Images[0].Repository, e.Finding)
	}
	return FindingID(*e.Images[0], e.Finding)
}

// Outage is the reason why nothing at all could be read just now, or not all of the changes, which another try may mend; nil when anything was
// read, or when ECR refuses for good.
func (l Listing) Outage() error {
	if l.Incomplete != nil {
		return l.Incomplete
	}
	var outage error
	for _, r := range l.Reports {
		if wasRead(r) {
			return nil
		}
		if outage == nil {
			outage = outageOf(r)
		}
	}
	return outage
}

func wasRead(r Report[Result]) bool {
	return slices.ContainsFunc(r.Images, func(i Item[Result]) bool {
		return i.Image.Kind == PlainImage && i.Value.State != Unread && i.Value.State != Refused
	})
}

func outageOf(r Report[Result]) error {
	if r.Err != nil {
		if CodeOf(r.Err) == Unavailable {
			return r.Err
		}
		return nil
	}
	for _, item := range r.Images {
		if item.Image.Kind == PlainImage && item.Value.State != Unread {
			return nil
		}
	}
	for _, item := range r.Images {
		if item.Value.State == Unread {
			return &Error{Code: Unavailable, Message: "The scan results can't be read just now: " + item.Value.Reason + "."}
		}
	}
	return nil
}

// Findings lists the findings of the config with this id. Errors: NotFound when there is no such config, Unavailable when it can't be read,
// Invalid when the view has more to group than fits. What can't be read of ECR stands in the reports.
func (w *Watch) Findings(ctx context.Context, id string, v View) (Listing, error) {
	config, err := w.Configs.Get(ctx, id)
	if err != nil {
		return Listing{}, err
	}
	l, err := w.list(ctx, []Config{config}, v)
	l.Config = &config
	return l, err
}

// AllFindings lists the findings of all configs, each once, however many configs watch its image. Errors: Unavailable when the configs can't
// be read, Invalid as with Findings. What can't be read of ECR stands in the reports.
func (w *Watch) AllFindings(ctx context.Context, v View) (Listing, error) {
	configs, err := w.Configs.List(ctx)
	if err != nil {
		return Listing{}, err
	}
	return w.list(ctx, configs, v)
}

func (w *Watch) list(ctx context.Context, configs []Config, v View) (Listing, error) {
	found, books := newGathering(v), w.readers()
	reports := walker[Result]{
		configs: configs, list: books.list, rooms: newRooms(findingsAtOnce),
		visit: func(ctx context.Context, same []Image) Result {
			wanted := taggedImages(same, v.Filter)
			if len(wanted) == 0 {
				return Result{} // leaves with its image, below
			}
			return books.of(same[0].Repository).tell(ctx, wanted, found)
		},
		done: books.finish,
	}.walk(ctx)
	logFailures(ctx, w, reports)
	v.Filter.narrow(reports)
	entries, total := found.page()
	if v.ByVulnerability && total > maxGroups {
		return Listing{}, &Error{
			Code: Invalid, Message: fmt.Sprintf("There are more than %d vulnerabilities to group: narrow the feed with severity, tag, package or cve.", maxGroups),
			Fields: []FieldError{{Pointer: "/by", Detail: "can't group so many"}},
		}
	}
	return Listing{Reports: reports, View: v, Entries: entries, Total: total, Changed: latest(books.changed(reports), found.left)}, nil
}

func taggedImages(images []Image, f Filter) []*Image {
	var tagged []*Image
	for i := range images {
		if f.hasTag(images[i]) {
			tagged = append(tagged, &images[i])
		}
	}
	return tagged
}
