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

	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
)

// MaxContinuations is how many messages in a row may continue a visit.
const MaxContinuations = 100

// Message asks for a visit of one repository.
type Message struct {
	// Registry is the AWS account id that owns the repository, 12 digits.
	Registry string `json:"registry"`
	// Region is the AWS Region of the repository, such as us-west-2.
	Region string `json:"region"`
	// Repository is the repository's name, such as test/ubuntu.
	Repository string `json:"repository"`
	// Configs are the ids of the scan configs that watch the repository. There are none when only its record is left.
	Configs []string `json:"configs"`
	// Continues counts the messages in a row that this one continues, 0 to MaxContinuations. It is 0 for a message that continues none.
	Continues int `json:"continues,omitempty"`
}

// Repo is the repository to visit.
func (m Message) Repo() scan.Repository {
	return scan.Repository{Registry: m.Registry, Region: m.Region, Name: m.Repository}
}

// Group is the FIFO message group id: the SHA-256 of the repository, 64 hex digits. Two repositories never have the same one.
func (m Message) Group() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", m.Registry, m.Region, m.Repository)) // quoted, so that the parts can't run together
	return hex.EncodeToString(sum[:])
}

// Sending is a message to send.
type Sending struct {
	Message
	// Once is the deduplication id, 1 to 128 characters. A queue may drop a message whose id was sent less than 5 minutes ago.
	Once string
}

// Queue takes messages. It gives them out in the order of their sending for each repository, and never two of one repository at once.
type Queue interface {
	// Send returns nil when all messages were sent. Otherwise it returns one error for each message, nil for those that were sent. A message
	// with an error may have been sent all the same.
	Send(ctx context.Context, s []Sending) []error
	// Waiting is about how many messages wait. Messages that are being worked on do not count.
	Waiting(ctx context.Context) (int, error)
}

// Received is a message that a queue gave out.
type Received struct {
	Message
	// ID is the queue's own id of the message. It stays the same when the message is delivered again.
	ID string
	// Sent is when the message was sent, in milliseconds, by the queue's clock.
	Sent time.Time
}

// storedMessage is a message in JSON. It has the fields of earlier versions too, so that their messages are recognized.
type storedMessage struct {
	Message
	Config json.RawMessage `json:"config"`
	Chain  json.RawMessage `json:"chain"`
}

// ParseMessage reads a message from its JSON form. It errors for whatever must not reach AWS, and for messages of earlier versions.
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
	return nil
}

// maxConfigIDs is how many ids of configs a message has at most, so that it stays below the 256 KiB that SQS takes. The record knows the others.
const maxConfigIDs = 5000

// NewMessage asks for a visit of a repository that configs with these ids watch.
func NewMessage(repo scan.Repository, configs ...string) Message {
	return Message{Registry: repo.Registry, Region: repo.Region, Repository: repo.Name, Configs: configs}
}

// Requests asks for visits.
type Requests struct {
	Queue Queue
	Log   *slog.Logger
	// NotSent, if it is set, counts a request that could not be sent.
	NotSent func(ctx context.Context)
}

// Request asks for a visit of the repository that a new config watches, as soon as there is room for it. A request that can't be sent is logged
// and counted; the next schedule sends it.
func (r Requests) Request(ctx context.Context, c scan.Config) {
	errs := r.Queue.Send(ctx, []Sending{{Message: NewMessage(c.Repo(), c.ID), Once: c.ID}})
	if len(errs) == 0 || errs[0] == nil {
		return
	}
	r.Log.WarnContext(ctx, "can't request a visit; the next schedule does", append(refresh.RepositoryAttrs(c.Repo()), "config", c.ID, "error", errs[0])...)
	if r.NotSent != nil {
		r.NotSent(ctx)
	}
}
