package report

import (
	"context"
)

// subtract reads the histories of the images whose findings a suppression can match, and subtracts what is set aside from their counts. If a history can't
// be read, the counts stay as they are, and the item says so.
func (q *request) subtract(ctx context.Context, w *watchedRepository, items []Item) {
	q.readHistories(ctx, w.Refresher, items, w.isTouched, func(*Item, divided) {}, func(item *Item, _ error) {
		item.Unsuppressed = w.Scope.Covers(&item.Image, w.Clock().Time())
	})
}

// isTouched reports whether a suppression changes the counts of an item, now or since the last visit.
func (w *watchedRepository) isTouched(item *Item) bool {
	return item.HasCounts() && len(item.Result.Counts)+len(item.Changes) > 0 && (w.HasEnds(item.Image.Label()) || w.Scope.Covers(&item.Image, w.Clock().Time()))
}
