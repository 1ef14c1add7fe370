package lambdaruntime

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	region  = "us-west-2"
	account = "123456789012"

	initTimeout = 10 * time.Second // what Lambda gives a process to ask for its first event
)

// Function is one process of a function. All its methods may be called from several goroutines.
type Function struct {
	name    string
	cmd     *exec.Cmd
	server  *httptest.Server
	log     logBuffer
	started time.Time
	next    chan *invocation
	polled  chan struct{} // closed at the first poll
	exited  chan struct{} // closed when the process is gone
	kill    sync.Once

	mu        sync.Mutex
	coldStart time.Duration
	initTimer *time.Timer
	current   *invocation // what the process is busy with
	initErr   *Error
	exitErr   error // of exec.Cmd.Wait, set before exited is closed
}

// Start starts the compiled function at binary. Its environment is what Lambda gives a function, with region us-west-2 and
// credentials that open nothing, and env, which wins. The process is killed when the test ends, and its log is shown if the test has failed.
// Start fails the test only when the process can't be started: what goes wrong in it is an error of Ready and Invoke.
func Start(tb testing.TB, binary string, env map[string]string) *Function {
	tb.Helper()
	f := &Function{
		name: filepath.Base(filepath.Dir(binary)),
		next: make(chan *invocation), polled: make(chan struct{}), exited: make(chan struct{}),
	}
	f.server = httptest.NewServer(f.runtimeAPI())
	f.cmd = exec.Command(binary)
	f.cmd.Dir = tb.TempDir()
	f.cmd.Env = environment(f.server.Listener.Addr().String(), f.name, f.cmd.Dir, env)
	f.cmd.Stdout, f.cmd.Stderr = &f.log, &f.log
	f.cmd.WaitDelay = time.Second // for a child of the process that holds on to the log
	if err := f.start(); err != nil {
		f.server.Close()
		tb.Fatalf("start %s: %v", binary, err)
	}
	tb.Cleanup(func() {
		f.Kill()
		if tb.Failed() {
			tb.Logf("log of %s:\n%s", f.name, f.Logs())
		}
	})
	return f
}

func environment(runtimeAPI, name, dir string, own map[string]string) []string {
	env := []string{
		"AWS_LAMBDA_RUNTIME_API=" + runtimeAPI,
		"AWS_LAMBDA_FUNCTION_NAME=" + name,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_FORMAT=JSON",
		"AWS_REGION=" + region,
		"AWS_DEFAULT_REGION=" + region,
		"AWS_ACCESS_KEY_ID=testing",
		"AWS_SECRET_ACCESS_KEY=testing",
		"AWS_SESSION_TOKEN=testing",
		"_HANDLER=bootstrap",
		"LAMBDA_TASK_ROOT=" + dir,
		"LANG=en_US.UTF-8",
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"TZ=:UTC",
	}
	for key, value := range own {
		env = append(env, key+"="+value)
	}
	return env
}

// start starts the process and sees to it that its end is noticed, and that one which never polls ends.
func (f *Function) start() error {
	f.mu.Lock() // the process may poll before the timer is set
	defer f.mu.Unlock()
	f.started = time.Now()
	if err := f.cmd.Start(); err != nil {
		return err
	}
	f.initTimer = time.AfterFunc(initTimeout, func() {
		f.failInit(&Error{Type: timedOut, Message: fmt.Sprintf("Init timed out after %v", initTimeout)})
		_ = f.cmd.Process.Kill() // an error says that it is gone already
	})
	go func() {
		err := f.cmd.Wait()
		f.mu.Lock()
		f.initTimer.Stop()
		if f.current != nil {
			f.current.timer.Stop()
		}
		f.exitErr = err
		f.mu.Unlock()
		close(f.exited)
	}()
	return nil
}

// Ready waits for the process to ask for its first event and returns how long that took from the start of the process. The error
// is an *Error when the process ended before, or one of ctx.
func (f *Function) Ready(ctx context.Context) (time.Duration, error) {
	select {
	case <-f.polled:
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.coldStart, nil
	case <-f.exited:
		return 0, f.exitError("")
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Invoke hands event to the process, as it is when it is a []byte and as JSON otherwise, and returns the answer. The error is an
// *Error when the function failed, the process ended or timeout was over, which kills the process as Lambda does. Where the process
// is busy the event waits. When ctx ends first Invoke returns its error and the process goes on.
func (f *Function) Invoke(ctx context.Context, event any, timeout time.Duration) ([]byte, error) {
	payload, ok := event.([]byte)
	if !ok {
		var err error
		if payload, err = json.Marshal(event); err != nil {
			return nil, fmt.Errorf("encode the event for %s: %w", f.name, err)
		}
	}
	i := newInvocation(payload, timeout)
	select {
	case f.next <- i:
	case <-f.exited:
		return nil, f.exitError(i.id)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case r := <-i.result:
		return r.payload, r.err
	case <-f.exited:
		return f.lastResult(i)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lastResult is what is left of i once the process is gone: it may have answered before.
func (f *Function) lastResult(i *invocation) ([]byte, error) {
	select {
	case r := <-i.result:
		return r.payload, r.err
	default:
		return nil, f.exitError(i.id)
	}
}

// Kill ends the process at once, in the middle of what it is doing, and returns when it is gone. A second call does nothing.
func (f *Function) Kill() {
	f.kill.Do(func() {
		_ = f.cmd.Process.Kill() // an error says that it is gone already
		<-f.exited
		f.server.Close()
	})
}

// Logs returns what the process has written so far, to stdout and stderr.
func (f *Function) Logs() string { return f.log.String() }

// polls notes that the process asks for an event, and so is done with the one before.
func (f *Function) polls() {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.coldStart == 0 {
		f.coldStart = now.Sub(f.started)
		f.initTimer.Stop()
		close(f.polled)
	}
	if f.current != nil {
		f.current.timer.Stop()
		f.current.finish(nil, &Error{Type: "Runtime.NoResponse", Message: "the next event was asked for before this one was answered"})
		f.current = nil
	}
}

// deliver makes i what the process is busy with, and returns until when.
func (f *Function) deliver(i *invocation) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current = i
	i.timer = time.AfterFunc(i.timeout, func() {
		i.finish(nil, &Error{Type: timedOut,
			Message: fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", i.id, i.timeout.Seconds()), Log: f.Logs()})
		_ = f.cmd.Process.Kill() // an error says that it is gone already
	})
	return time.Now().Add(i.timeout)
}

func (f *Function) invoked(id string) *invocation {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current == nil || f.current.id != id {
		return nil
	}
	return f.current
}

func (f *Function) failInit(e *Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.initErr = e
}

// exitError says why there is no process, after exited is closed.
func (f *Function) exitError(id string) *Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.initErr != nil {
		return &Error{Type: f.initErr.Type, Message: f.initErr.Message, Log: f.Logs()}
	}
	reason := "Runtime exited without providing a reason"
	if f.exitErr != nil {
		reason = "Runtime exited with error: " + f.exitErr.Error()
	}
	return &Error{Type: "Runtime.ExitError", Message: fmt.Sprintf("RequestId: %s Error: %s", id, reason), Log: f.Logs()}
}

// logBuffer is a bytes.Buffer that may be read while the process writes.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// PeakMemory is the most memory that the process has had resident so far, in bytes. Only Linux tells; elsewhere it is 0.
func (f *Function) PeakMemory() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kilobytes int64
	if _, err := fmt.Sscan(after, &kilobytes); err != nil {
		return 0
	}
	return kilobytes << 10
}
