package scan

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Place is where in the images of a repository a page begins. The zero value is the beginning.
type Place struct {
	// Token is the registry's own mark of the page, when all tags are watched.
	Token string `json:"token,omitempty"`
	// Tag is how many of the named tags, sorted, lie before the page, when tags are named.
	Tag int `json:"tag,omitempty"`
}

// What is under way of one repository. Pages are small, and begun before the ones before them are done, so that ECR has work to the full
// at every moment, and yet little is done again of what a function had to leave.
const (
	pagesAtOnce = 2
	tagsOnPage  = 100 // what one call looks up
)

// page is a part of the images of a repository.
type page struct {
	images []Image
	// tags are the named tags that are on this page or nowhere.
	tags []string
	next Place
	last bool
}

// course is the way through the images of one repository for the configs that watch it.
type course struct {
	repo    Repository
	configs []Config
	// all tells that one of the configs wants all tags; tags are those that the others name, sorted.
	all  bool
	tags []string
	seen map[string]bool
	// visits has a func() outcome for each image met.
	visits sync.Map
}

func newCourse(configs []Config) *course {
	c := &course{repo: configs[0].Repo(), configs: configs, seen: map[string]bool{}}
	c.all, c.tags = wanted(configs)
	return c
}

// page lists what lies at a place.
func (c *course) page(ctx context.Context, r Registry, at Place) (page, error) {
	if !c.all {
		return c.named(ctx, r, at.Tag)
	}
	images, next, err := r.Page(ctx, c.repo, at.Token)
	if err != nil {
		return page{}, err
	}
	if next != "" && next == at.Token {
		return page{}, &Error{Code: Unavailable, Message: "ECR gives the same page again and again"}
	}
	p := page{images: images, next: Place{Token: next}, last: next == ""}
	if len(c.tags) > 0 {
		c.missing(&p)
	}
	return p, nil
}

// named looks some of the named tags up.
func (c *course) named(ctx context.Context, r Registry, from int) (page, error) {
	end := min(from+tagsOnPage, len(c.tags))
	if from >= end {
		return page{last: true}, nil // the config has fewer tags than it had; asking for none would be asking for all
	}
	tags := c.tags[from:end]
	images, err := r.Images(ctx, c.repo, tags)
	return page{images: images, tags: tags, next: Place{Tag: end}, last: end == len(c.tags)}, err
}

// missing leaves it to the last page to say which of the named tags were on none.
func (c *course) missing(p *page) {
	for _, image := range p.images {
		c.seen[image.Tag] = true
	}
	if p.last {
		p.tags = slices.DeleteFunc(slices.Clone(c.tags), func(tag string) bool { return c.seen[tag] })
	}
}

// watching is the configs that a page concerns, with no more than its tags, and their places among all.
func (c *course) watching(p page) (configs []Config, at []int) {
	here := make(map[string]bool, len(p.images)+len(p.tags))
	for _, image := range p.images {
		here[image.Tag] = true
	}
	for _, tag := range p.tags {
		here[tag] = true
	}
	for i, config := range c.configs {
		named := len(config.Tags) > 0
		config.Tags = slices.DeleteFunc(slices.Clone(config.Tags), func(tag string) bool { return !here[tag] })
		if !named || len(config.Tags) > 0 {
			configs, at = append(configs, config), append(at, i)
		}
	}
	return configs, at
}

// once makes sure that an image that is on several pages, under another tag or in another index, is visited once.
func (c *course) once(image Image, visit func() outcome) outcome {
	if image.Kind == Missing {
		return visit()
	}
	known, _ := c.visits.LoadOrStore(image.identity(), sync.OnceValue(visit))
	return known.(func() outcome)()
}

// visited is what became of one page's images, for each of the configs that it concerns.
type visited struct {
	// number counts the pages from 0 in their order; they come to an end in any order.
	number int
	// at is the place of each report's config among all.
	at      []int
	reports []Report[outcome]
}

// finished tells that no image of the page was left.
func (v visited) finished() bool {
	for _, report := range v.reports {
		if slices.ContainsFunc(report.Images, func(item Item[outcome]) bool { return item.Value.kind == left }) {
			return false
		}
	}
	return true
}

// rest is what startPages has not done.
type rest struct {
	// at is the place of the first page that is not finished.
	at Place
	// images tells that this page was listed and images of it were left, since the time was up.
	images bool
	// err is why a page could not be listed, errLeft when the time was up.
	err error
}

// startPages works through one repository for the configs that watch it, page by page from a place on, and starts what is due. done is
// told of each page, one at a time. Nothing is left when the rest has neither images nor an error. What was learned is written down when calls
// has ended too, before ctx does.
func (s *starter) startPages(ctx, calls context.Context, configs []Config, from Place, done func(visited)) rest {
	var (
		course = newCourse(configs)
		places []Place // of the pages, in their order
		open   errgroup.Group
		mu     sync.Mutex
		undone = map[int]bool{} // by number
	)
	saving, cancel := early(ctx, reportMargin, 16)
	defer cancel()
	open.SetLimit(pagesAtOnce)
	r := rest{at: from}
	book := s.books.begin(calls, course.repo)
	met := newMeeting(book, course.all && from == Place{})
	for more := true; more; {
		p, err := s.listPage(calls, course, r.at)
		if err != nil {
			r.err = err
			met.failed(err)
			break
		}
		met.page(p)
		number := len(places)
		places = append(places, r.at)
		open.Go(func() error {
			v := s.visitPage(calls, course, p)
			v.number = number
			mu.Lock()
			defer mu.Unlock()
			undone[number] = !v.finished()
			done(v)
			book.commitSome(saving)
			return nil
		})
		r.at, more = p.next, !p.last
	}
	_ = open.Wait() // what happened stands in the pages
	met.end(r.err == nil)
	book.close(saving, calls)
	for number, place := range places {
		if undone[number] {
			r.at, r.images = place, true
			break
		}
	}
	return r
}

// listPage lists a page unless the time is up.
func (s *starter) listPage(calls context.Context, c *course, at Place) (page, error) {
	if s.over() {
		return page{}, errLeft
	}
	p, err := c.page(calls, s.Registry, at)
	if errors.Is(err, context.DeadlineExceeded) && calls.Err() != nil {
		return page{}, errLeft
	}
	return p, err
}

// visitPage starts what is due of a page.
func (s *starter) visitPage(calls context.Context, c *course, p page) visited {
	configs, at := c.watching(p)
	listed := func(context.Context, Repository, []string) ([]Image, error) { return p.images, nil }
	reports := walker[outcome]{
		configs: configs, list: listed, rooms: s.rooms,
		visit: func(ctx context.Context, same []Image) outcome {
			first := false
			o := c.once(same[0], func() outcome { first = true; return s.visit(ctx, same) })
			if book := s.books.of(c.repo); !first && !book.blank && same[0].Kind == PlainImage && !s.over() {
				book.look(ctx, same, newsOnly) // these labels have a history of their own
			}
			return o
		},
	}.walk(calls)
	return visited{at: at, reports: reports}
}

// startAll works through every repository, those of different places and some of each place side by side, and puts the pages together again.
// A config of which not all could be listed has both: an error and the images that were reached.
func (s *starter) startAll(ctx, calls context.Context, configs []Config) []Report[outcome] {
	whole := make([]Report[outcome], len(configs))
	eachRepository(configs, func(_ Repository, at []int) {
		group := make([]Config, len(at))
		for i, place := range at {
			group[i] = configs[place]
		}
		r := s.startPages(ctx, calls, group, Place{}, func(v visited) {
			for i, report := range v.reports {
				into := &whole[at[v.at[i]]]
				into.Images = append(into.Images, report.Images...)
				into.Artifacts += report.Artifacts
			}
		})
		for i, place := range at {
			whole[place].Config, whole[place].Err = group[i], r.err
		}
	})
	return whole
}
