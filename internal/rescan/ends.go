package rescan

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// endsAtOnce is the maximum number of images whose histories are in memory to record an end.
const endsAtOnce = 64

// endWriter stores which findings came back because their suppressions ended. A visit does this before anything else, so that a request that does not see the
// record of this visit yet computes the same dates. What can't be stored, the next visit stores: until all is stored, the record does not have the end.
type endWriter struct {
	*refresh.Refresher
	store interface {
		refresh.Records
		AddHistories(ctx context.Context, repo scan.Repository, histories []history.History) (names []string, errs []error)
	}
	callCtx, saveCtx, stopCtx context.Context
}

// record stores all histories with findings that came back. It reports whether it changed the record.
func (w endWriter) record(rules *suppress.Rules) (changed bool, err error) {
	w.SetRules(w.callCtx, rules, w.Clock())
	last, failed := w.LastEnd()
	if last == 0 {
		return false, nil
	}
	if failed { // otherwise the dates would be other ones
		err = errors.New("a history can't be read")
	} else {
		for labels := range slices.Chunk(w.LabelsWithEnds(), endsAtOnce) {
			err = errors.Join(err, w.storeSome(labels))
		}
	}
	w.FinishEnds(err == nil)
	return true, err
}

// storeSome stores the histories of some images.
func (w endWriter) storeSome(labels []string) error {
	names := make([]string, len(labels))
	for i, label := range labels {
		names[i] = w.Record.Image(label).History
	}
	histories, errs := make([]history.History, len(labels)), make([]error, len(labels))
	w.store.Histories(w.callCtx, w.Repo, names, func(i int, h history.History, err error) {
		histories[i], errs[i] = w.WithEnds(labels[i], h), err
	})
	if err := errors.Join(append(errs, w.stopCtx.Err())...); err != nil {
		return err
	}
	stored, errs := w.store.AddHistories(w.saveCtx, w.Repo, histories)
	var all []error
	for i, label := range labels {
		if errs[i] != nil {
			all = append(all, fmt.Errorf("image %s: %w", label, errs[i]))
			continue
		}
		w.SetEnds(label, stored[i], histories[i])
	}
	return errors.Join(all...)
}
