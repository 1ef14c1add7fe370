package rescan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
)

// MaxContinuations is the maximum number of visits in a row that continue a visit.
const MaxContinuations = 100

// Message requests a visit of one repository, or a schedule for one config.
type Message struct {
	// Schedule is the id of the config for which a schedule is requested. All other fields are empty then.
	Schedule string `json:"schedule,omitempty"`
	// Registry is the id of the AWS account that owns the repository, 12 digits.
	Registry string `json:"registry"`
	// Region is the AWS Region of the repository, such as us-west-2.
	Region string `json:"region"`
	// Repository is the repository's name, such as test/ubuntu.
	Repository string `json:"repository"`
	// Configs are the ids of the scan configs that watch the repository. It is empty when no config watches it and
	// only its record must be deleted.
	Configs []string `json:"configs"`
	// Continues is the number of visits in a row that this message continues, 0 to [MaxContinuations].
	Continues int `json:"continues,omitempty"`
	// Created is when the repository was created, in Unix seconds, if this was after the patterns that match it were first
	// resolved; otherwise 0.
	Created int64 `json:"created,omitempty"`
}

// Repo returns the repository to visit.
func (m Message) Repo() scan.Repository {
	return scan.Repository{Registry: m.Registry, Region: m.Region, Name: m.Repository}
}

// Group returns the FIFO message group id: a SHA-256 in 64 hex digits. Each repository has its own, and each config for
// which a schedule is requested.
func (m Message) Group() string {
	if m.Schedule != "" {
		sum := sha256.Sum256([]byte("schedule " + m.Schedule))
		return hex.EncodeToString(sum[:])
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", m.Registry, m.Region, m.Repository)) // quoted, so that different parts can't give the same text
	return hex.EncodeToString(sum[:])
}

// Sending is a message to send.
type Sending struct {
	Message
	// Once is the deduplication id, 1 to 128 characters. A queue can drop a message if another one with the same id
	// was sent in the last 5 minutes.
	Once string
}

// Queue stores messages and delivers them. For each group it delivers them in the order in which they were sent, and only
// one at a time.
type Queue interface {
	// Send returns nil when all messages were sent. Otherwise it returns one error for each message, which is nil if
	// the message was sent. A message with an error can still be delivered.
	Send(ctx context.Context, s []Sending) []error
	// Waiting returns the approximate number of waiting messages. It does not count messages that are being handled.
	Waiting(ctx context.Context) (int, error)
}

// Received is a message that a queue delivered.
type Received struct {
	Message
	// ID is the queue's id of the message. It stays the same when the message is delivered again.
	ID string
	// Sent is when the message was sent, in milliseconds, by the queue's clock.
	Sent time.Time
}

// storedMessage is the JSON form of a message. It also has fields of earlier versions, so that ParseMessage can
// reject their messages.
type storedMessage struct {
	Message
	Config json.RawMessage `json:"config"`
	Chain  json.RawMessage `json:"chain"`
}

// ParseMessage reads a message from its JSON form. It returns an error for values that are invalid for AWS, and for
// messages of earlier versions.
func ParseMessage(body []byte) (Message, error) {
	var s storedMessage
	if err := json.Unmarshal(body, &s); err != nil {
		return Message{}, fmt.Errorf("read a message: %w", err)
	}
	if s.Config != nil || s.Chain != nil {
		return Message{}, errors.New("read a message: it was sent by an earlier version (it has a field config or chain)")
	}
	if err := s.check(); err != nil {
		return Message{}, fmt.Errorf("read a message: %w", err)
	}
	return s.Message, nil
}

// check applies the rules of scan configs to the repository and the ids.
func (m Message) check() error {
	if m.Schedule != "" {
		return m.checkSchedule()
	}
	if strings.Contains(m.Repository, "*") {
		return errors.New("repository must not be a pattern")
	}
	err := scan.Config{Region: m.Region, Registry: m.Registry, Repository: m.Repository}.Validate()
	if e, ok := errors.AsType[*scan.Error](err); ok {
		var wrong []string
		for _, f := range e.Fields {
			wrong = append(wrong, strings.TrimPrefix(f.Pointer, "/")+" "+f.Detail)
		}
		return errors.New(strings.Join(wrong, "; "))
	}
	if err != nil {
		return err
	}
	for i, id := range m.Configs {
		if !scan.ValidID(id) {
			return fmt.Errorf("configs/%d must be a scan ID", i)
		}
	}
	if m.Continues < 0 || m.Continues > MaxContinuations {
		return fmt.Errorf("continues must be 0 to %d, not %d", MaxContinuations, m.Continues)
	}
	if m.Created < 0 {
		return fmt.Errorf("created must not be negative, as %d is", m.Created)
	}
	return nil
}

func (m Message) checkSchedule() error {
	switch {
	case !scan.ValidID(m.Schedule):
		return errors.New("schedule must be a scan ID")
	case m.Repo() != scan.Repository{} || len(m.Configs) > 0 || m.Continues != 0 || m.Created != 0:
		return errors.New("a message with schedule must have no other field")
	}
	return nil
}

// maxConfigIDs is the maximum number of config ids in a message, because SQS limits messages to 256 KiB. The record
// has the other ids.
const maxConfigIDs = 5000

// NewMessage returns a message for a visit of a repository. configs are the ids of the configs that watch it.
func NewMessage(repo scan.Repository, configs ...string) Message {
	return Message{Registry: repo.Registry, Region: repo.Region, Repository: repo.Name, Configs: configs}
}

// Requests sends messages for new and replaced configs.
type Requests struct {
	Queue Queue
	Log   *slog.Logger
}

// Request sends a message for a new or replaced config, and one for a visit of each repository that it no longer watches. For
// a config with a pattern, the message requests a schedule. If a message can't be sent, Request logs this. The next schedule
// then sends the message.
func (r Requests) Request(ctx context.Context, config scan.Config, before ...scan.Repository) {
	messages := []Message{NewMessage(config.Repo(), config.ID)}
	if config.IsPattern() {
		messages[0] = Message{Schedule: config.ID}
	}
	for _, repo := range before {
		messages = append(messages, NewMessage(repo, config.ID))
	}
	sendings := make([]Sending, len(messages))
	for i, m := range messages {
		sendings[i] = Sending{Message: m, Once: uuid.NewString()} // a config can be replaced twice in 5 minutes
	}
	for i, err := range r.Queue.Send(ctx, sendings) {
		if err != nil {
			r.Log.WarnContext(ctx, "could not request a visit; the next schedule requests it", append(refresh.RepositoryAttrs(messages[i].Repo()), "config", config.ID, "error", err)...)
		}
	}
}
