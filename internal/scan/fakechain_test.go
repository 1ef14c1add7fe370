package scan

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// fakeMarkers keeps markers in memory, by the clock now.
type fakeMarkers struct {
	mu     sync.Mutex
	now    func() time.Time
	writes int
	kept   map[string]Marker
	fail   error
}

func (f *fakeMarkers) Get(ctx context.Context, config string) (Marker, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := firstError(gone(ctx), f.fail); err != nil {
		return Marker{}, err
	}
	m, ok := f.kept[config]
	if !ok {
		return Marker{}, &Error{Code: NotFound}
	}
	return m, nil
}

func (f *fakeMarkers) Put(ctx context.Context, config string, m Marker) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := firstError(gone(ctx), f.fail); err != nil {
		return false, err
	}
	if f.kept[config].Version != m.Version {
		return false, nil
	}
	f.put(config, m)
	return true, nil
}

func (f *fakeMarkers) put(config string, m Marker) {
	f.writes++
	m.Version, m.Written = strconv.Itoa(f.writes), f.now()
	if f.kept == nil {
		f.kept = map[string]Marker{}
	}
	f.kept[config] = m
}

func (f *fakeMarkers) Remove(ctx context.Context, config string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := firstError(gone(ctx), f.fail); err != nil {
		return err
	}
	delete(f.kept, config)
	return nil
}

func (f *fakeMarkers) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.kept)
}

// fakeQueue keeps what was sent. fail tells of each message in turn why it is refused.
type fakeQueue struct {
	mu   sync.Mutex
	sent []Message
	fail func(Message) error
}

func (f *fakeQueue) Send(ctx context.Context, messages []Message) []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	errs := make([]error, len(messages))
	for i, m := range messages {
		if errs[i] = gone(ctx); errs[i] == nil && f.fail != nil {
			errs[i] = f.fail(m)
		}
		if errs[i] == nil {
			f.sent = append(f.sent, m)
		}
	}
	return errs
}

// take is everything sent since the last time.
func (f *fakeQueue) take() []Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	sent := f.sent
	f.sent = nil
	return sent
}

// killed is the key of an invocation's context under which there is a channel, closed when the function is killed. A dead function calls
// nothing any more.
type killed struct{}

func gone(ctx context.Context) error {
	dead, _ := ctx.Value(killed{}).(chan struct{})
	select {
	case <-dead:
		return fmt.Errorf("the function is dead: %w", context.Canceled)
	default:
		return nil
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
