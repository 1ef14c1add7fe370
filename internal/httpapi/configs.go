package httpapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"ecr-continuous-scan/internal/httpapi/body"
	"ecr-continuous-scan/internal/scan"
)

func (a *API) listConfigs(w http.ResponseWriter, r *http.Request) error {
	configs, err := a.Configs.List(r.Context())
	if err != nil {
		return err
	}
	if configs == nil {
		configs = []scan.Config{}
	}
	w.Header().Set("Cache-Control", noStore)
	writeJSON(w, "application/json", http.StatusOK, configs)
	return nil
}

func (a *API) addConfig(w http.ResponseWriter, r *http.Request) error {
	draft, err := body.Config(w, r)
	if err != nil {
		return err
	}
	config, err := scan.NewConfig(draft, a.Now())
	if err != nil {
		return err
	}
	if err := a.Configs.Put(r.Context(), config); err != nil {
		return err
	}
	a.requestVisits(r.Context(), config)
	a.linkDuplicate(w, r, config)
	a.packConfigs(r.Context())
	path := "/configs/" + config.ID
	w.Header().Set("Location", cmp.Or(a.link(r, path, nil), path))
	w.Header().Set("Cache-Control", noStore)
	writeJSON(w, "application/json", http.StatusCreated, config)
	return nil
}

// replaceConfig serves PUT. Its response has no ETag, because the client did not send the fields that the service sets (RFC 9110, 9.3.4).
func (a *API) replaceConfig(w http.ResponseWriter, r *http.Request) error {
	id, err := scanID(r)
	if err != nil {
		return err
	}
	draft, err := body.Config(w, r)
	if err != nil {
		return err
	}
	var before, config scan.Config
	err = a.Configs.Replace(r.Context(), id, func(stored scan.Config) (scan.Config, error) {
		if err := requireMatch(r, "scan config", stored); err != nil {
			return scan.Config{}, err
		}
		before = stored
		config, err = stored.Replace(draft, a.Now())
		return config, err
	})
	if err != nil {
		return err
	}
	var dropped []scan.Repository // the next schedule visits those of a pattern
	if !before.IsPattern() && !config.Watches(before.Repo()) {
		dropped = append(dropped, before.Repo()) // its visit deletes the record if no other config watches it
	}
	a.requestVisits(r.Context(), config, dropped...)
	a.linkDuplicate(w, r, config)
	a.packConfigs(r.Context())
	w.Header().Set("Cache-Control", noStore)
	writeJSON(w, "application/json", http.StatusOK, config)
	return nil
}

// requestTimeout is how long POST and PUT wait for the queue. The config is stored before.
const requestTimeout = 2 * time.Second

func (a *API) requestVisits(ctx context.Context, config scan.Config, before ...scan.Repository) {
	if a.Visits == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	a.Visits.Request(ctx, config, before...)
}

// duplicateTimeout is how long POST and PUT look for a config that watches the same.
const duplicateTimeout = 2 * time.Second

// linkDuplicate links to another config that watches exactly the same as a stored one (RFC 6249), if there is one, and logs it. Such configs are
// allowed: their names and owners can differ.
func (a *API) linkDuplicate(w http.ResponseWriter, r *http.Request, stored scan.Config) {
	ctx, cancel := context.WithTimeout(r.Context(), duplicateTimeout)
	defer cancel()
	configs, err := a.Configs.List(ctx)
	if err != nil {
		a.Log.WarnContext(ctx, "could not look for a config that watches the same", "config", stored.ID, "error", err)
		return
	}
	i := slices.IndexFunc(configs, func(c scan.Config) bool { return c.ID != stored.ID && c.WatchesSame(stored) })
	if i < 0 {
		return
	}
	a.Log.WarnContext(ctx, "a config watches exactly what another one watches", "config", stored.ID, "other", configs[i].ID)
	a.linkSamePath(w, r, "/configs/"+configs[i].ID)
}

// linkSamePath links to what is the same as the one in the answer.
func (a *API) linkSamePath(w http.ResponseWriter, r *http.Request, path string) {
	w.Header().Set("Link", fmt.Sprintf("<%s>; rel=\"duplicate\"", cmp.Or(a.link(r, path, nil), path)))
}

// packTimeout is how long POST and PUT pack the configs. If it takes longer, the next schedule packs them.
const packTimeout = 2 * time.Second

func (a *API) packConfigs(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, packTimeout)
	defer cancel()
	if err := a.Configs.Pack(ctx); err != nil {
		a.Log.WarnContext(ctx, "could not pack the configs; the next schedule tries again", "error", err)
	}
}

func (a *API) getConfig(w http.ResponseWriter, r *http.Request) error {
	id, err := scanID(r)
	if err != nil {
		return err
	}
	config, err := a.Configs.Get(r.Context(), id)
	if err != nil {
		return err
	}
	body, err := encodeJSON(config)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", noStore)
	serve(w, r, "application/json", body)
	return nil
}

func (a *API) deleteConfig(w http.ResponseWriter, r *http.Request) error {
	id, err := scanID(r)
	if err != nil {
		return err
	}
	var check func(scan.Config) error
	if len(r.Header.Values("If-Match")) > 0 {
		check = func(stored scan.Config) error { return requireMatch(r, "scan config", stored) }
	}
	if err := a.Configs.Delete(r.Context(), id, check); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", noStore)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// scanID returns the path's {scanid}. It returns NotFound for a malformed scan ID, so that no call to the store is needed.
func scanID(r *http.Request) (string, error) {
	id := r.PathValue("scanid")
	if !scan.ValidID(id) {
		return "", &scan.Error{Code: scan.NotFound, Message: "There is no scan config with this id."}
	}
	return id, nil
}
