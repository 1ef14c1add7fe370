package scan

import (
	"context"
	"slices"
)

// images are what the tags point to, all of them when there are none: from the record while that is fresh, else from ECR; and when ECR can't be
// asked just now, as they were last.
func (l *ledger) images(ctx context.Context, tags []string) ([]Image, error) {
	l.mu.Lock()
	known, isFresh := l.recorded(tags)
	l.mu.Unlock()
	if isFresh {
		return known, nil
	}
	calls, cancel := l.patience(ctx, len(known) > 0)
	defer cancel()
	images, err := l.Registry.Images(calls, l.repo, tags)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock()
	switch code := CodeOf(err); {
	case code == Unavailable && len(known) > 0:
		l.down = err
		for _, i := range known {
			l.stale[i.Label()] = err
		}
		return known, nil
	case code == RepositoryNotFound:
		l.now.gone(now)
	}
	if err != nil {
		return nil, err
	}
	return l.listed(images, tags, now), nil
}

// patience is how long ECR is waited for when there is something else to show.
func (l *ledger) patience(ctx context.Context, fallback bool) (context.Context, context.CancelFunc) {
	if !fallback || l.patient {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, readersPatience)
}

// recorded are the images of the record that have the tags, and whether they needn't be asked for again.
func (l *ledger) recorded(tags []string) (images []Image, isFresh bool) {
	now := l.clock()
	wanted := make(map[string]bool, len(tags))
	for _, tag := range tags {
		wanted[tag] = true
	}
	found := make(map[string]bool, len(tags))
	isFresh = len(tags) > 0 || fresh(l.now.Listed, now)
	if len(tags) == 0 {
		images = make([]Image, 0, len(l.now.Images))
	}
	for _, i := range l.now.Images {
		if len(tags) > 0 && !wanted[i.Tag] {
			continue
		}
		if fresh(l.now.seen(i), now) {
			found[i.Tag] = true
		}
		if i.Kind != Missing {
			images = append(images, i.image(l.repo))
		}
	}
	for tag := range wanted { // one that no record has may have been pushed since all were listed, and its config added a second ago
		isFresh = isFresh && found[tag]
	}
	return images, isFresh && l.now.Gone == 0 && !l.blank && !l.doubting
}

// listed takes in what ECR listed, and gives what is to be shown of it: of an index that could not be resolved just now, what it had before.
func (l *ledger) listed(images []Image, tags []string, now Stamp) []Image {
	l.now.there(now)
	images = l.withKnownPlatforms(images)
	there := make(map[string]bool, len(images))
	for _, i := range images {
		if there[i.Label()] = true; l.stale[i.Label()] == nil {
			l.now.observed(i, now)
		}
	}
	for label, i := range l.now.Images {
		if !there[label] && (len(tags) == 0 || slices.Contains(tags, i.Tag)) {
			l.now.unobserved(label, now)
		}
	}
	for _, tag := range tags {
		missing := Image{Repository: l.repo, Tag: tag, Kind: Missing}
		if old, known := l.now.Images[missing.Label()]; !l.hasTag(tag) && (!known || old.Kind == Missing) {
			l.now.observed(missing, now)
		}
	}
	if len(tags) == 0 {
		l.now.Listed, l.now.touched = now, true
	}
	return images
}

// hasTag tells whether anything is there under a tag.
func (l *ledger) hasTag(tag string) bool {
	i, known := l.now.Images[tag]
	if known && i.Kind != Missing {
		return true
	}
	for _, i := range l.now.Images {
		if i.Tag == tag && i.Kind != Missing {
			return true
		}
	}
	return false
}

// withKnownPlatforms puts in the place of an index that could not be resolved just now the images that it had, if it is the same index or that
// is unknown.
func (l *ledger) withKnownPlatforms(images []Image) []Image {
	broken := make(map[string]Image)
	for _, i := range images {
		if i.Kind == Index && CodeOf(i.Err) == Unavailable {
			broken[i.Tag] = i
		}
	}
	if len(broken) == 0 {
		return images
	}
	shown := slices.Clone(images)
	for _, i := range l.now.Images {
		if index, is := broken[i.Tag]; is && i.Platform != "" && i.Kind != Missing && (i.Index == "" || i.Index == index.Digest) {
			shown = slices.DeleteFunc(shown, func(s Image) bool { return s.Tag == i.Tag && s.Kind == Index })
			shown = append(shown, i.image(l.repo))
			l.stale[i.Label()] = index.Err
		}
	}
	return shown
}
