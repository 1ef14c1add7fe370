package main

import (
	"runtime/debug"
	"strings"

	"ecr-continuous-scan/internal/httpapi"
)

const version = httpapi.Version

// versionText returns the version and, in parentheses, what the build information says about the commit: its revision, its time, and whether
// files had been modified. `go run` and builds without git record no commit.
func versionText(info *debug.BuildInfo) string {
	settings := map[string]string{}
	if info != nil {
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
	}
	revision := settings["vcs.revision"]
	if revision == "" {
		return version
	}
	commit := []string{"revision " + revision}
	if time := settings["vcs.time"]; time != "" {
		commit = append(commit, time)
	}
	if settings["vcs.modified"] == "true" {
		commit = append(commit, "modified")
	}
	return version + " (" + strings.Join(commit, ", ") + ")"
}
