package render

import (
	"fmt"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

type (
	summaryData struct {
		Generated string       `json:"generated"`
		Since     string       `json:"since"`
		Filter    *filterData  `json:"filter,omitempty"`
		Feed      string       `json:"feed,omitempty"`
		Configs   []configData `json:"configs"`
	}
	filterData struct {
		Severity     string   `json:"severity,omitempty"`
		Tags         []string `json:"tags,omitempty"`
		Platforms    []string `json:"platforms,omitempty"`
		Digests      []string `json:"digests,omitempty"`
		Repositories []string `json:"repositories,omitempty"`
		Owners       []string `json:"owners,omitempty"`
		Matches      int      `json:"matchingImages"` // 0 is not the same as no findings
	}
	configData struct {
		ID string `json:"id"`
		repositoryData
		Pattern    string      `json:"pattern,omitempty"` // that matches the repository
		Tags       []string    `json:"tags"`
		Exclude    []string    `json:"exclude,omitempty"`
		Newest     int         `json:"newest,omitempty"`
		Used       string      `json:"used,omitempty"`
		Untagged   bool        `json:"untagged,omitempty"`
		Name       string      `json:"name,omitempty"`
		Owner      string      `json:"owner,omitempty"`
		Feed       string      `json:"feed,omitempty"`
		State      string      `json:"state,omitempty"` // of the whole config, if it has no images
		Reason     string      `json:"reason,omitempty"`
		Artifacts  int         `json:"artifacts,omitempty"`
		NotNewest  int         `json:"notNewest,omitempty"`
		NotUsed    int         `json:"notUsed,omitempty"`
		NotWatched *int        `json:"notWatched,omitempty"`
		Images     []imageData `json:"images"`
	}
)

// FeedOf returns the URL of the feed of the config with this id, or of all configs for the id "all". It is empty when unknown.
type FeedOf func(id string) string

// SummaryJSON returns the summary as JSON.
func SummaryJSON(o report.Overview, filter scan.Filter, feed FeedOf) ([]byte, error) {
	d := summaryData{Generated: RFC3339(o.Now), Since: RFC3339(o.Since), Feed: feed("all"), Configs: []configData{}}
	if !filter.IsZero() {
		d.Filter = &filterData{string(filter.Severity), filter.Tags, filter.Platforms, filter.Digests, filter.Repositories, filter.Owners, 0}
	}
	for _, r := range report.Narrow(o.Reports, filter) {
		c := configData{
			ID: r.Config.ID, repositoryData: repositoryData{r.Config.Region, r.Config.Registry, r.Repository.Name}, Pattern: patternOf(r.Config), Tags: r.Config.Tags,
			Exclude: r.Config.Exclude, Newest: r.Config.Newest, Used: r.Config.Used, Untagged: r.Config.Untagged, Name: r.Config.Name, Owner: r.Config.Owner,
			Feed: feed(r.Config.ID), Artifacts: r.Artifacts, NotNewest: r.Older, NotUsed: r.Unused, NotWatched: r.NotWatched, Images: make([]imageData, len(r.Images)),
		}
		c.State, c.Reason = conditionData(r.Condition())
		for i, item := range r.Images {
			c.Images[i] = newImageData(item, o.Since, o.Now)
		}
		d.Configs = append(d.Configs, c)
		if d.Filter != nil {
			d.Filter.Matches += len(c.Images)
		}
	}
	b, err := encodeFitting(d)
	if err != nil {
		return nil, fmt.Errorf("write the summary as JSON: %w", err)
	}
	return b, nil
}

func patternOf(c scan.Config) string {
	if !c.IsPattern() {
		return ""
	}
	return c.Repository
}
