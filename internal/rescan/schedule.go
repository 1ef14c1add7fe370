package rescan

import (
	"context"
	"fmt"
	"slices"

	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
)

// ScheduleReport is the result of one schedule.
type ScheduleReport struct {
	// Configs is the number of configs. Repositories is the number of repositories that a config watches or that have
	// a record.
	Configs      int `json:"configs"`
	Repositories int `json:"repositories"`
	// Waiting is the number of messages that were waiting in the queue before the schedule.
	Waiting int `json:"waiting"`
	// Sent is the number of messages that were sent. NotSent is the number of messages that were not sent; the next
	// schedule sends them.
	Sent    int `json:"sent"`
	NotSent int `json:"notSent"`
	// NotListed is the number of registries, each in one Region, whose repositories could not be listed. Their recorded
	// repositories are visited anyway.
	NotListed int `json:"notListed"`
	// Problems are the errors of the registries that were not listed and of messages that were not sent, at most 100.
	Problems []ScheduleProblem `json:"problems"`
}

// ScheduleProblem is the error of a message that was not sent, or of a registry that could not be listed. Repository is
// empty then.
type ScheduleProblem struct {
	Registry   string `json:"registry"`
	Region     string `json:"region"`
	Repository string `json:"repository"`
	Error      string `json:"error"`
}

// maxProblems is the maximum number of problems in a report.
const maxProblems = 100

// Schedule sends a message for each repository that a config watches or that has a record. It lists the repositories of
// the registries that have a config with a pattern. once returns the deduplication id of a message. Errors: the configs
// or the queue can't be read, or no message could be sent.
func (v *Visitor) Schedule(ctx context.Context, once func(Message) string) (ScheduleReport, error) {
	calls, cancel := refresh.WithCallDeadline(ctx)
	defer cancel()
	configs, err := v.Configs.List(calls)
	if err != nil {
		return ScheduleReport{}, fmt.Errorf("schedule: could not read the configs: %w", err)
	}
	recorded, err := v.Records.Repositories(calls)
	if err != nil {
		v.Log.WarnContext(calls, "could not list the records; the next schedule deletes those that no config watches", "error", err)
	}
	found := v.resolve(calls, configs, recorded, true)
	report := ScheduleReport{Configs: len(configs), Repositories: len(found.messages), NotListed: len(found.failed), Problems: found.problems()}
	if report.Waiting, err = v.Queue.Waiting(calls); err != nil {
		report.NotSent = len(found.messages)
		return report, fmt.Errorf("schedule: could not read the number of waiting messages: %w", err)
	}
	if report.Waiting > len(found.messages) {
		report.NotSent = len(found.messages)
		v.Log.WarnContext(ctx, "schedule sent no messages: more messages are waiting than there are repositories", "waiting", report.Waiting, "repositories", len(found.messages))
		return report, nil
	}
	err = v.send(ctx, calls, found.messages, once, &report)
	if err := v.Configs.Pack(calls); err != nil {
		v.Log.WarnContext(calls, "could not pack the configs; the next schedule tries again", "error", err)
	}
	return report, err
}

// ScheduleConfig sends a message for each repository that one config watches. The config is new or was replaced. Errors: as
// for Schedule.
func (v *Visitor) ScheduleConfig(ctx context.Context, id string, once func(Message) string) (ScheduleReport, error) {
	calls, cancel := refresh.WithCallDeadline(ctx)
	defer cancel()
	config, err := v.Configs.Stored(calls, id, v.Now())
	switch {
	case scan.CodeOf(err) == scan.NotFound:
		return ScheduleReport{Problems: []ScheduleProblem{}}, nil // deleted meanwhile
	case err != nil:
		return ScheduleReport{}, fmt.Errorf("schedule: could not read the config %s: %w", id, err)
	}
	recorded, err := v.Records.RepositoriesIn(calls, config.In(), config.Head())
	if err != nil {
		v.Log.WarnContext(calls, "could not list the records; the next schedule visits their repositories", "config", id, "error", err)
	}
	recorded = slices.DeleteFunc(recorded, func(r scan.Repository) bool { return !config.Watches(r) })
	found := v.resolve(calls, []scan.Config{config}, recorded, false)
	report := ScheduleReport{Configs: 1, Repositories: len(found.messages), NotListed: len(found.failed), Problems: found.problems()}
	return report, v.send(ctx, calls, found.messages, once, &report)
}

func (v *Visitor) send(ctx, calls context.Context, messages []Message, once func(Message) string, report *ScheduleReport) error {
	sendings := make([]Sending, len(messages))
	for i, m := range messages {
		sendings[i] = Sending{Message: m, Once: once(m)}
	}
	var failure error
	for i, err := range v.Queue.Send(calls, sendings) {
		if err == nil {
			continue
		}
		failure = err
		report.NotSent++
		if m := messages[i]; len(report.Problems) < maxProblems {
			report.Problems = append(report.Problems, ScheduleProblem{m.Registry, m.Region, m.Repository, scan.MessageOf(err)})
		}
	}
	report.Sent = len(messages) - report.NotSent
	attrs := []any{"configs", report.Configs, "repositories", report.Repositories, "waiting", report.Waiting, "sent", report.Sent, "notSent", report.NotSent, "notListed", report.NotListed}
	if failure != nil {
		v.Log.WarnContext(ctx, "schedule: some messages were not sent", append(attrs, "error", failure)...)
	} else {
		v.Log.InfoContext(ctx, "schedule", attrs...)
	}
	if report.Sent == 0 && failure != nil {
		return fmt.Errorf("schedule: no message could be sent: %w", failure)
	}
	return nil
}
