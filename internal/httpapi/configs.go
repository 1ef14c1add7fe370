package httpapi

import (
	"cmp"
	"net/http"

	"ecr-continuous-scan/internal/scan"
)

func (a *API) listConfigs(w http.ResponseWriter, r *http.Request) error {
	configs, err := a.Watch.Configs.List(r.Context())
	if err != nil {
		return err
	}
	if configs == nil {
		configs = []scan.Config{}
	}
	writeJSON(w, "application/json", http.StatusOK, configs)
	return nil
}

func (a *API) addConfig(w http.ResponseWriter, r *http.Request) error {
	draft, err := decodeConfig(w, r)
	if err != nil {
		return err
	}
	config, err := scan.NewConfig(draft, a.Watch.Now())
	if err != nil {
		return err
	}
	if err := a.Watch.Configs.Put(r.Context(), config); err != nil {
		return err
	}
	path := "/configs/" + config.ID
	w.Header().Set("Location", cmp.Or(a.link(r, path, nil), path))
	writeJSON(w, "application/json", http.StatusCreated, config)
	return nil
}

func (a *API) getConfig(w http.ResponseWriter, r *http.Request) error {
	id, err := scanID(r)
	if err != nil {
		return err
	}
	config, err := a.Watch.Configs.Get(r.Context(), id)
	if err != nil {
		return err
	}
	writeJSON(w, "application/json", http.StatusOK, config)
	return nil
}

func (a *API) deleteConfig(w http.ResponseWriter, r *http.Request) error {
	id, err := scanID(r)
	if err != nil {
		return err
	}
	if err := a.Watch.Configs.Delete(r.Context(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// scanID is the path's {scanid}. What can't be one is not found without asking the store.
func scanID(r *http.Request) (string, error) {
	id := r.PathValue("scanid")
	if !scan.ValidID(id) {
		return "", &scan.Error{Code: scan.NotFound, Message: "There is no scan config with this id."}
	}
	return id, nil
}
