package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"ecr-continuous-scan/internal/httpapi/body"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
	"ecr-continuous-scan/internal/suppresscount"
	"ecr-continuous-scan/internal/suppressfile"
)

// SuppressionStore stores the suppressions.
type SuppressionStore interface {
	// Load returns all suppressions. The caller must not change the list. Errors: Unavailable.
	Load(ctx context.Context) (suppress.List, error)
	// Rewrite stores the result of change instead of the list. It calls change with the stored list, and again if another call changed that
	// meanwhile. If the result is the same list, it writes nothing. Errors: Unavailable, [suppress.ErrFull], and those of change, which store nothing.
	Rewrite(ctx context.Context, change func(stored suppress.List) (suppress.List, error)) error
}

// SuppressionCounter counts findings that suppressions match.
type SuppressionCounter interface {
	// Count returns what each active suppression matches, by its id. One that matches nothing is missing. Errors: Unavailable.
	Count(ctx context.Context, list suppress.List) (map[string]suppresscount.Matched, error)
}

// listedSuppression is a suppression in the list of all.
type listedSuppression struct {
	shownSuppression
	// Findings is the number of open findings that it matches; absent if it has ended or if the number is not known.
	Findings *int `json:"findings,omitempty"`
	// Unused is true if it matches no open finding, and none that was resolved in the last 30 days.
	Unused bool `json:"unused,omitempty"`
}

// shownSuppression is a suppression as clients see it.
type shownSuppression struct {
	suppress.Suppression
	// Ended is true if the findings are no longer set aside, because the end is in the past.
	Ended bool `json:"ended,omitempty"`
}

func show(s suppress.Suppression, now time.Time) shownSuppression {
	return shownSuppression{s, !s.Until.IsZero() && !now.Before(s.Until)}
}

func (a *API) listSuppressions(w http.ResponseWriter, r *http.Request) error {
	list, err := a.Suppressions.Load(r.Context())
	if err != nil {
		return err
	}
	matched, areCounted := a.countMatched(r.Context(), list)
	now, shown := a.Now(), []listedSuppression{}
	for _, s := range list.Current(now) {
		one := listedSuppression{shownSuppression: show(s, now)}
		if m := matched[s.ID]; areCounted && !one.Ended {
			one.Findings, one.Unused = &m.Open, m == suppresscount.Matched{}
		}
		shown = append(shown, one)
	}
	w.Header().Set("Cache-Control", noStore)
	writeJSON(w, "application/json", http.StatusOK, shown)
	return nil
}

// countTimeout is how long GET waits for the numbers of findings. If it takes longer, the list has none.
const countTimeout = 15 * time.Second

// countMatched returns what each suppression matches, and false if it is not known.
func (a *API) countMatched(ctx context.Context, list suppress.List) (map[string]suppresscount.Matched, bool) {
	if len(list.All) == 0 || a.SuppressionCounter == nil {
		return nil, false
	}
	counting, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	matched, err := a.SuppressionCounter.Count(counting, list)
	if err != nil {
		a.Log.WarnContext(ctx, "could not count the findings that suppressions match", "error", err)
	}
	return matched, err == nil
}

// addSuppressions adds one suppression, or those of a file.
func (a *API) addSuppressions(w http.ResponseWriter, r *http.Request) error {
	reason, err := reasonOf(r)
	if err != nil {
		return err
	}
	now := a.Now()
	file, isFile, err := body.Suppressions(w, r, reason, now)
	if err != nil {
		return fullProblem(err)
	}
	drafts := make([]suppress.Suppression, len(file.Drafts))
	for i, draft := range file.Drafts {
		if drafts[i], err = suppress.New(draft, now); err != nil {
			return err
		}
	}
	if isFile {
		return a.addFile(w, r, file, drafts)
	}
	var before suppress.List
	err = a.Suppressions.Rewrite(r.Context(), func(stored suppress.List) (suppress.List, error) {
		before = stored
		return stored.With(drafts, now)
	})
	if err != nil {
		return fullProblem(err)
	}
	a.linkSame(w, r, before, drafts[0], now)
	path := "/suppressions/" + drafts[0].ID
	w.Header().Set("Location", cmp.Or(a.link(r, path, nil), path))
	w.Header().Set("Cache-Control", noStore)
	writeJSON(w, "application/json", http.StatusCreated, show(drafts[0], now))
	return nil
}

// linkSame links to another suppression that sets the same aside, if there is one. Such suppressions are allowed: their reasons can differ.
func (a *API) linkSame(w http.ResponseWriter, r *http.Request, list suppress.List, s suppress.Suppression, now time.Time) {
	if same, ok := list.Same(s, now); ok {
		a.linkSamePath(w, r, "/suppressions/"+same.ID)
	}
}

// reasonOf returns the parameter reason, or "" if it is not given.
func reasonOf(r *http.Request) (string, error) {
	given := r.URL.Query()["reason"]
	switch {
	case len(given) == 0:
		return "", nil
	case len(given) > 1:
		return "", invalidQuery([]scan.FieldError{{Pointer: "/reason", Detail: "is given twice"}})
	case !suppress.ValidReason(given[0]):
		return "", invalidQuery([]scan.FieldError{{Pointer: "/reason", Detail: suppress.ReasonRule}})
	}
	return given[0], nil
}

// addedFile says what became of the entries of a file.
type addedFile struct {
	// Added and Unchanged are the numbers of suppressions that are new, and that existed before, perhaps with another reason.
	Added     int `json:"added"`
	Unchanged int `json:"unchanged"`
	// Skipped has the number of entries by the reason why they set nothing aside.
	Skipped map[suppressfile.Skip]int `json:"skipped"`
	// Unsupported are the first places of entries that a suppression can't express.
	Unsupported []scan.FieldError `json:"unsupported,omitempty"`
	// IDs are the ids of the new suppressions.
	IDs []string `json:"ids"`
}

// addFile adds the suppressions of a file that do not exist yet: all or none.
func (a *API) addFile(w http.ResponseWriter, r *http.Request, file suppressfile.File, all []suppress.Suppression) error {
	now := a.Now()
	var missing []suppress.Suppression
	err := a.Suppressions.Rewrite(r.Context(), func(stored suppress.List) (suppress.List, error) {
		if missing = stored.Missing(all, now); len(missing) == 0 {
			return stored, nil
		}
		return stored.With(missing, now)
	})
	if err != nil {
		return fullProblem(err)
	}
	answer := addedFile{Added: len(missing), Unchanged: len(all) - len(missing), Skipped: file.Skipped, Unsupported: file.Unsupported, IDs: []string{}}
	for _, s := range missing {
		answer.IDs = append(answer.IDs, s.ID)
	}
	w.Header().Set("Cache-Control", noStore)
	status := http.StatusOK
	if len(missing) > 0 {
		status = http.StatusCreated
	}
	writeJSON(w, "application/json", status, answer)
	return nil
}

// fullProblem returns what a client sees of ErrFull, and every other error as it is.
func fullProblem(err error) error {
	if !errors.Is(err, suppress.ErrFull) {
		return err
	}
	return &problem{
		Status: http.StatusConflict,
		Detail: fmt.Sprintf("There can be at most %d suppressions, of 4 MiB. Ended, replaced and deleted ones count for %d more days.", suppress.MaxCount, suppress.Retention/(24*time.Hour)),
	}
}

func (a *API) getSuppression(w http.ResponseWriter, r *http.Request) error {
	s, err := a.findSuppression(r)
	if err != nil {
		return err
	}
	body, err := encodeJSON(s)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", noStore)
	serve(w, r, "application/json", body)
	return nil
}

func (a *API) findSuppression(r *http.Request) (shownSuppression, error) {
	id, err := suppressionID(r)
	if err != nil {
		return shownSuppression{}, err
	}
	list, err := a.Suppressions.Load(r.Context())
	if err != nil {
		return shownSuppression{}, err
	}
	s, err := list.Find(id, a.Now())
	return show(s, a.Now()), err
}

// replaceSuppression serves PUT. Like that of a config, its response has no ETag.
func (a *API) replaceSuppression(w http.ResponseWriter, r *http.Request) error {
	id, err := suppressionID(r)
	if err != nil {
		return err
	}
	now := a.Now()
	draft, err := body.Suppression(w, r, now)
	if err != nil {
		return err
	}
	var replacement suppress.Suppression
	var before suppress.List
	err = a.Suppressions.Rewrite(r.Context(), func(stored suppress.List) (changed suppress.List, err error) {
		before = stored
		if err := matchSuppression(r, stored, id, now); err != nil {
			return stored, err
		}
		changed, replacement, err = stored.WithReplaced(id, draft, now)
		return changed, err
	})
	if err != nil {
		return fullProblem(err)
	}
	a.linkSame(w, r, before, replacement, now)
	w.Header().Set("Cache-Control", noStore)
	writeJSON(w, "application/json", http.StatusOK, show(replacement, now))
	return nil
}

func (a *API) deleteSuppression(w http.ResponseWriter, r *http.Request) error {
	id, err := suppressionID(r)
	if err != nil {
		return err
	}
	now := a.Now()
	err = a.Suppressions.Rewrite(r.Context(), func(stored suppress.List) (suppress.List, error) {
		if err := matchSuppression(r, stored, id, now); err != nil {
			return stored, err
		}
		return stored.WithDeleted(id, now)
	})
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", noStore)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// matchSuppression returns an error if there is no suppression with this id, or if it is not the one that the client's If-Match names.
func matchSuppression(r *http.Request, stored suppress.List, id string, now time.Time) error {
	s, err := stored.Find(id, now)
	if err != nil {
		return err
	}
	return requireMatch(r, "suppression", show(s, now))
}

// suppressionID returns the path's {id}. It returns NotFound for a malformed id, so that no call to the store is needed.
func suppressionID(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !scan.ValidID(id) {
		return "", suppress.NotFound()
	}
	return id, nil
}
