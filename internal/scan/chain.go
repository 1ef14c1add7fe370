package scan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Message is one hop of a chain: go on with a config at a place. A chain works through one config once; each hop lives as long as one
// function does, and sends on the next.
type Message struct {
	// Config is the config's id.
	Config string `json:"config"`
	// Chain is the chain's own id, a UUID.
	Chain string `json:"chain"`
	// Hop counts the messages of a chain from 0.
	Hop   int   `json:"hop"`
	Place Place `json:"place,omitzero"`
	// Total is what the hops before this one did.
	Total Tally `json:"total"`
	// Again is how many of the images in Total will be met again, since their page was not finished, as in progress or scanned already.
	Again int `json:"again,omitempty"`
	// Anew tells that the chain has lost its place and begun anew, which it may do once.
	Anew bool `json:"anew,omitempty"`
}

// MaxHops ends a chain that never comes to its end. It is enough for a day, in which every image becomes due again, of five-minute hops.
const MaxHops = 300

// ParseMessage reads a message from its JSON form. What is an error here was never sent by a chain.
func ParseMessage(body []byte) (Message, error) {
	var m Message
	if err := json.Unmarshal(body, &m); err != nil {
		return Message{}, fmt.Errorf("read a message: %w", err)
	}
	switch {
	case !ValidID(m.Config):
		return Message{}, errors.New("read a message: config is no scan ID")
	case uuid.Validate(m.Chain) != nil:
		return Message{}, errors.New("read a message: chain is no UUID")
	case m.Hop < 0 || m.Hop > MaxHops:
		return Message{}, fmt.Errorf("read a message: hop %d is out of range", m.Hop)
	case m.Place.Tag < 0, m.Again < 0:
		return Message{}, errors.New("read a message: a count is negative")
	}
	return m, nil
}

// Queue carries messages to whoever works on them: each at least once, in any order, perhaps much later.
type Queue interface {
	// Send gives nil when all messages were sent, and otherwise why not for each, nil for those that were. What is said not to be sent may
	// arrive all the same.
	Send(ctx context.Context, messages []Message) []error
}

// Marker says that a config has a chain under way, and how far it is.
type Marker struct {
	Chain string `json:"chain"`
	// Hop is the latest hop that was begun; before any was, 0.
	Hop int `json:"hop"`
	// Worker is whoever works on the hop, a UUID, until the time Until at the latest; both are empty before the first hop was begun.
	Worker string    `json:"worker,omitempty"`
	Until  time.Time `json:"until,omitzero"`

	// Written is when the marker was stored, by the store's clock, and Version changes with each write; neither is a part of it.
	Written time.Time `json:"-"`
	Version string    `json:"-"`
}

// Markers keeps at most one marker for each config. Its errors have the code Unavailable unless it says otherwise.
type Markers interface {
	// Get is a config's marker. Something else in its place is a marker of no chain. Errors: NotFound.
	Get(ctx context.Context, config string) (Marker, error)
	// Put stores a marker if the one that is there has its Version, and with an empty Version if there is none. It tells whether the marker
	// is stored now.
	Put(ctx context.Context, config string, m Marker) (bool, error)
	// Remove removes a config's marker, if there is one.
	Remove(ctx context.Context, config string) error
}

// ChainExpiry is how long nothing is heard of a chain until it is taken for dead and another may take its place. It is longer than a
// function of five minutes and the half hour after which the queue delivers again what that function has not done.
const ChainExpiry = 45 * time.Minute

// maxHopTime is for a hop without a deadline; no function of Lambda lives longer.
const maxHopTime = 15 * time.Minute

// Chains runs scans through a queue, so that one run may outgrow one function: Schedule starts a chain for each config, and Work does a
// hop. Its fields are set once; its methods may be called side by side.
type Chains struct {
	Watch   *Watch
	Queue   Queue
	Markers Markers
}

// first makes the first message of a chain for a config and marks the config. It gives false when a chain is under way already.
func (c *Chains) first(ctx context.Context, config string) (Message, bool, error) {
	old, err := c.Markers.Get(ctx, config)
	switch {
	case CodeOf(err) == NotFound:
	case err != nil:
		return Message{}, false, err
	case c.Watch.Now().Before(old.Written.Add(ChainExpiry)):
		return Message{}, false, nil
	}
	m := Message{Config: config, Chain: uuid.NewString(), Total: newTally()}
	ours, err := c.Markers.Put(ctx, config, Marker{Chain: m.Chain, Version: old.Version})
	return m, ours, err
}

// errBusy is an answer for a message whose hop is being worked on: whoever does may yet fail, and then it is needed.
var errBusy = &Error{Code: Unavailable, Message: "the hop is being worked on already"}

// errStale is an answer for a message that nobody needs any more.
var errStale = errors.New("the chain has gone on or has ended")

// claim takes a hop for this invocation, so that of several deliveries of a message one alone is worked on. Errors: errBusy, errStale, or
// what went wrong.
func (c *Chains) claim(ctx context.Context, m Message, until time.Time) error {
	old, err := c.Markers.Get(ctx, m.Config)
	switch {
	case CodeOf(err) == NotFound:
		return errStale
	case err != nil:
		return err
	case old.Chain != m.Chain && (m.Hop > 0 || old.Chain == "" || old.Worker != ""):
		// A first message that waited until it was taken for lost goes before its replacement: in a queue that is longer than ChainExpiry no
		// config would get its turn otherwise.
		return errStale
	case old.Chain == m.Chain && m.Hop < old.Hop:
		return errStale
	case old.Chain == m.Chain && m.Hop == old.Hop && c.Watch.Now().Before(old.Until):
		return errBusy
	}
	ours, err := c.Markers.Put(ctx, m.Config, Marker{
		Chain: m.Chain, Hop: m.Hop, Worker: uuid.NewString(), Until: until, Version: old.Version,
	})
	if err == nil && !ours {
		return errBusy
	}
	return err
}
