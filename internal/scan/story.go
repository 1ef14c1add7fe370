package scan

import "context"

// tell gathers what is remembered of images that are one to ECR, after a look at whether there is anything newer. It gives their result.
func (l *ledger) tell(ctx context.Context, same []*Image, to *gathering) Result {
	images := make([]Image, len(same))
	for i, image := range same {
		images[i] = *image
	}
	result := l.look(ctx, images, allFindings)
	for _, image := range same {
		h, err := l.story(ctx, *image, result)
		if err != nil {
			return l.unread(ctx, *image, err)
		}
		to.add(image, h, l.clock())
	}
	result.Findings = nil
	return result
}

// story is the history of what an image points to now. When it could not be kept, it is told of the result alone. Errors: Unavailable.
func (l *ledger) story(ctx context.Context, image Image, result Result) (History, error) {
	l.mu.Lock()
	r := l.now.Images[image.Label()]
	l.mu.Unlock()
	if !r.current() {
		return alone(image, result), nil
	}
	h, err := l.Records.History(ctx, l.repo, r.History)
	if CodeOf(err) != NotFound {
		return h, err
	}
	return l.anew(ctx, image, err)
}

// alone is the history of an image of which nothing is remembered.
func alone(image Image, result Result) History {
	h := History{Tag: image.Tag, Platform: image.Platform}
	if !h.isNews(image.Digest, result) {
		return h
	}
	var taken Seconds
	return h.after(image.Digest, result, timeOf(result), taken.take)
}

// anew begins the history of an image anew, since the one that its record names is lost.
func (l *ledger) anew(ctx context.Context, image Image, lost error) (History, error) {
	l.logImage(ctx, "the history of an image is lost: it begins anew", image, lost)
	result, err := l.Registry.Findings(ctx, l.repo, image.Digest)
	if err != nil {
		return History{}, err
	}
	l.mu.Lock()
	r := l.now.Images[image.Label()]
	r.History, r.Scan, r.Read = "", Scan{}, 0
	l.now.put(r)
	now := l.clock()
	l.mu.Unlock()
	l.fold(ctx, []Image{image}, result, now)
	return alone(image, result), nil
}
