package refresh

import (
	"context"
	"maps"
	"slices"
	"strings"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// list is a listing of ECR while it is recorded.
type list struct {
	scan.Listing
	wanted    scan.Wanted
	requested map[string]bool // the wanted tags
	// allTags means that the record gets all images with a tag.
	allTags bool
}

// contains reports whether the listing has the images of a tag, if there are any.
func (l *list) contains(tag string) bool {
	if scan.IsUntagged(tag) {
		return l.wanted.Untagged && l.NotWatched != nil
	}
	return len(l.wanted.Tags) == 0 || l.requested[tag]
}

// List reads from ECR the images that the configs may watch, and updates the record. Images that ECR does not list are
// marked as missing. withOthers means that other configs watch the repository too and can't be read: then the images in the
// record are also listed. Errors: those of [Registry]. On an error, the record changes only if the repository does not
// exist.
func (r *Refresher) List(ctx context.Context, configs []scan.Config, withOthers bool) error {
	r.CalledECR = true
	l := list{wanted: scan.WantedBy(configs), requested: make(map[string]bool)}
	if withOthers {
		l.wanted = r.withRecorded(l.wanted, len(configs) > 0)
	}
	var err error
	l.Listing, err = r.Registry.Images(ctx, r.Repo, l.wanted)
	if err == nil && l.IsPaged {
		l.Images, err = r.withMovedTags(ctx, l.Images)
	}
	now := r.Clock()
	if err != nil {
		r.ListError = err
		if scan.CodeOf(err) == scan.RepositoryNotFound {
			r.Record.SetMissing(now)
		}
		return err
	}
	r.ListError = nil
	r.Record.SetPresent(now)
	for _, tag := range l.wanted.Tags {
		l.requested[tag] = true
	}
	l.allTags = len(l.wanted.Tags) == 0 && (slices.ContainsFunc(configs, scan.Config.WatchesAllTags) || withOthers && r.Record.HasListedAll())
	r.selectListed(&l, configs, withOthers)
	l.Images = r.withKnownImages(r.withKnownKinds(r.Record.Identify(l.Images)))
	r.recordListing(l, now)
	return nil
}

// withRecorded adds the images of the record to what is wanted.
func (r *Refresher) withRecorded(wanted scan.Wanted, hasConfigs bool) scan.Wanted {
	tags := r.Record.Tags()
	for tag := range tags {
		wanted.Untagged = wanted.Untagged || scan.IsUntagged(tag)
	}
	watchesAll := hasConfigs && len(wanted.Tags) == 0
	if watchesAll || wanted.Untagged || r.Record.HasListedAll() || len(r.Record.Selections) > 0 {
		wanted.Tags = nil
	} else {
		wanted.Tags = scan.Distinct(slices.AppendSeq(wanted.Tags, maps.Keys(tags)))
	}
	return wanted
}

// selectListed removes from a listing the images that no config may watch and that the record does not have. It records what the configs
// select.
func (r *Refresher) selectListed(l *list, configs []scan.Config, withOthers bool) {
	var recorded []history.Selection
	selections := make([]scan.Selection, len(configs))
	for i, c := range configs {
		selections[i] = c.Select(slices.Values(l.Images), r.Clock().Time())
		if key := c.SelectionKey(); key != "" {
			recorded = append(recorded, history.Selection{Key: key, Older: selections[i].Older})
		}
	}
	isSelective := len(recorded) > 0
	if withOthers {
		recorded = append(recorded, r.Record.Selections...)
	}
	slices.SortStableFunc(recorded, func(a, b history.Selection) int { return strings.Compare(a.Key, b.Key) })
	r.Record.Selections = slices.CompactFunc(recorded, func(a, b history.Selection) bool { return a.Key == b.Key })
	if len(l.wanted.Tags) > 0 || !isSelective && !withOthers {
		return
	}
	known, mayWatch := r.Record.Tags(), scan.ByAny(selections, scan.Selection.MayWatch)
	l.Images = slices.DeleteFunc(l.Images, func(i scan.Image) bool {
		return !known[i.Tag] && (!l.allTags || scan.IsUntagged(i.Tag)) && !mayWatch(i.Tag)
	})
}

// Trim deletes the images that no config may watch. It keeps the images that were watched before and that a listing for the configs contains, so
// that their histories continue if a config watches them again.
func (r *Refresher) Trim(configs []scan.Config) {
	l := list{wanted: scan.WantedBy(configs)}
	mayWatch := scan.ByAny(r.SelectAll(configs), scan.Selection.MayWatch)
	r.Record.Keep(func(i *history.ImageRecord) bool {
		isListed := len(l.wanted.Tags) == 0 && (l.wanted.Untagged || !scan.IsUntagged(i.Tag))
		return mayWatch(i.Tag) || isListed && i.HasPast()
	})
}

// SelectAll returns the selection of each config from the recorded images.
func (r *Refresher) SelectAll(configs []scan.Config) []scan.Selection {
	images := func(yield func(scan.Image) bool) {
		for _, i := range r.Record.Images {
			if !yield(i.Image(r.Repo)) {
				return
			}
		}
	}
	selections := make([]scan.Selection, len(configs))
	for i, c := range configs {
		selections[i] = c.Select(images, r.Clock().Time())
	}
	return selections
}

// maxMovedTags is the maximum number of tags that are looked up again. If more are missing, they were deleted.
const maxMovedTags = 16

// withMovedTags adds the images of recorded tags that no page of a listing has. Such a tag can have moved to an image of an
// earlier page while the pages were read.
func (r *Refresher) withMovedTags(ctx context.Context, images []scan.Image) ([]scan.Image, error) {
	missing := r.Record.PresentTags()
	for _, i := range images {
		delete(missing, i.Tag)
	}
	maps.DeleteFunc(missing, func(tag string, _ bool) bool { return scan.IsUntagged(tag) })
	if len(missing) == 0 || len(missing) > maxMovedTags {
		return images, nil
	}
	found, err := r.Registry.Images(ctx, r.Repo, scan.Wanted{Tags: slices.Sorted(maps.Keys(missing))})
	return append(images, found.Images...), err
}

func (r *Refresher) recordListing(l list, now history.Stamp) {
	listed := make(map[string]bool, len(l.Images))
	for _, i := range l.Images {
		if listed[i.Label()] = true; r.readErrors[i.Label()] == nil {
			r.Record.UpdateImage(i, l.allTags, now)
		}
	}
	missing := make(map[string][]string) // labels by tag
	for label, i := range r.Record.Images {
		if !listed[label] && l.contains(i.Tag) {
			missing[i.Tag] = append(missing[i.Tag], label)
		}
	}
	r.removeTagged(missing, l)
	r.recordMissing(missing, l.Images, now)
	present := r.Record.PresentTags()
	for _, tag := range l.wanted.Tags {
		image := scan.Image{Repository: r.Repo, Tag: tag, Kind: scan.Missing}
		if old, known := r.Record.Images[image.Label()]; !present[tag] && (!known || old.Kind == scan.Missing) {
			r.Record.UpdateImage(image, false, now)
		}
	}
	if l.allTags {
		r.Record.Listed = now
	}
	if len(l.wanted.Tags) == 0 {
		r.Record.NotWatched = l.NotWatched
	}
}

// removeTagged removes the images without a tag that have a tag now, or that are parts of an index now. They are not missing.
func (r *Refresher) removeTagged(missing map[string][]string, l list) {
	hasUntagged := false
	for tag := range missing {
		hasUntagged = hasUntagged || scan.IsUntagged(tag)
	}
	if !hasUntagged {
		return
	}
	removed := make(map[string]bool)
	remove := func(digest string) {
		if len(missing[digest]) > 0 {
			removed[digest] = true
			delete(missing, digest)
		}
	}
	for _, i := range l.Images {
		remove(i.Digest)
		remove(i.Index)
	}
	for digest := range l.Parts {
		remove(digest)
	}
	r.Record.Keep(func(i *history.ImageRecord) bool { return !removed[i.Tag] })
}

// recordMissing marks images as missing that were not listed. images are those that were.
func (r *Refresher) recordMissing(missing map[string][]string, images []scan.Image, now history.Stamp) {
	instead := make(map[string][]scan.Image, len(missing))
	for _, i := range images {
		if len(missing[i.Tag]) > 0 {
			instead[i.Tag] = append(instead[i.Tag], i)
		}
	}
	for tag, labels := range missing {
		for _, label := range labels {
			r.Record.SetImageMissing(label, instead[tag], now)
		}
	}
}

// withKnownKinds replaces each tag whose kind can't be read now with the recorded image, if it has the same digest.
func (r *Refresher) withKnownKinds(images []scan.Image) []scan.Image {
	for n, i := range images {
		if i.Kind != scan.PlainImage || i.Err == nil {
			continue
		}
		if known := r.Record.Image(i.Label()); known.Digest == i.Digest {
			images[n] = known.Image(r.Repo)
		}
	}
	return images
}

// withKnownImages replaces each index that is temporarily unavailable with its recorded images. If the recorded images
// are not all of the index, it keeps the index too.
func (r *Refresher) withKnownImages(images []scan.Image) []scan.Image {
	unavailable, listed := make(map[string]scan.Image), make(map[string]bool, len(images))
	for _, i := range images {
		if listed[i.Label()] = true; i.Kind == scan.Index && scan.CodeOf(i.Err) == scan.Unavailable {
			unavailable[i.Tag] = i
		}
	}
	if len(unavailable) == 0 {
		return images
	}
	known, isPartial := make(map[string]bool), make(map[string]bool)
	replaced := slices.Clone(images)
	for label, i := range r.Record.Images {
		index, ok := unavailable[i.Tag]
		switch {
		case ok && i.Kind == scan.Index && i.Digest == index.Digest:
			isPartial[i.Tag] = true
			continue
		case !ok || i.Kind != scan.PlainImage || i.Index != index.Digest:
			continue
		case !listed[label]:
			replaced = append(replaced, i.Image(r.Repo))
			r.readErrors[label] = index.Err
		}
		known[i.Tag] = true
	}
	return slices.DeleteFunc(replaced, func(i scan.Image) bool {
		index, ok := unavailable[i.Tag]
		return ok && i.Label() == index.Label() && known[i.Tag] && !isPartial[i.Tag]
	})
}
