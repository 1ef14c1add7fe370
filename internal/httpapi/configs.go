package httpapi

import (
	"cmp"
	"context"
	"net/http"
	"time"

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
	draft, err := decodeConfig(w, r)
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
	a.requestVisit(r.Context(), config)
	a.packConfigs(r.Context())
	path := "/configs/" + config.ID
	w.Header().Set("Location", cmp.Or(a.link(r, path, nil), path))
	w.Header().Set("Cache-Control", noStore)
	writeJSON(w, "application/json", http.StatusCreated, config)
	return nil
}

// requestTimeout is how long POST /configs waits for the queue. The config is stored before.
const requestTimeout = 2 * time.Second

func (a *API) requestVisit(ctx context.Context, c scan.Config) {
	if a.Visits == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	a.Visits.Request(ctx, c)
}

// packTimeout is how long POST /configs packs the configs. If it takes longer, the next schedule packs them.
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
	w.Header().Set("Cache-Control", noStore)
	writeJSON(w, "application/json", http.StatusOK, config)
	return nil
}

func (a *API) deleteConfig(w http.ResponseWriter, r *http.Request) error {
	id, err := scanID(r)
	if err != nil {
		return err
	}
	if err := a.Configs.Delete(r.Context(), id); err != nil {
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
