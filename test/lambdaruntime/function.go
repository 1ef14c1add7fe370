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
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	region  = "us-west-2"
	account = "123456789012"

	initTimeout = 10 * time.Second // Lambda's limit for a process to request its first event
)

// Function is one process of a function. Its methods can be called concurrently.
type Function struct {
	name    string
	cmd     *exec.Cmd
	server  *httptest.Server
	log     logBuffer
	started time.Time
	next    chan *invocation
	polled  chan struct{} // closed at the first poll
	exited  chan struct{} // closed when the process has ended
	kill    sync.Once

	mu        sync.Mutex
	coldStart time.Duration
	initTimer *time.Timer
	current   *invocation // being handled by the process
	initErr   *Error
	exitErr   error // of exec.Cmd.Wait, set before exited is closed
}

// Start starts the compiled function at binary. The process has the environment of a Lambda function in Region
// us-west-2 with invalid credentials, and env, which has priority. The process is killed when the test ends, and
// its log is printed if the test has failed. Start fails the test only if the process cannot be started. Later
// failures of the process are errors of Ready and Invoke.
func Start(tb testing.TB, binary string, env map[string]string) *Function {
	tb.Helper()
	f, err := Run(Process{Binary: binary, Folder: tb.TempDir(), Env: env})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		f.Kill()
		if tb.Failed() {
			tb.Logf("log of %s:\n%s", f.name, f.Logs())
		}
	})
	return f
}

// Process describes a process of a function.
type Process struct {
	// Binary is the executable. Its folder is the name of the function.
	Binary string
	// Folder is the working directory.
	Folder string
	// Env has priority over the environment of a Lambda function.
	Env map[string]string
	// Through, if set, is a command that executes the binary. The path of the binary is its last argument.
	Through []string
}

// Run starts a process like Start, outside tests. The caller must call Kill.
func Run(p Process) (*Function, error) {
	f := &Function{
		name: filepath.Base(filepath.Dir(p.Binary)),
		next: make(chan *invocation), polled: make(chan struct{}), exited: make(chan struct{}),
	}
	f.server = httptest.NewServer(f.runtimeAPI())
	command := append(slices.Clone(p.Through), p.Binary)
	f.cmd = exec.Command(command[0], command[1:]...)
	f.cmd.Dir = p.Folder
	f.cmd.Env = environment(f.server.Listener.Addr().String(), f.name, p.Folder, p.Env)
	f.cmd.Stdout, f.cmd.Stderr = &f.log, &f.log
	f.cmd.WaitDelay = time.Second // if a child of the process keeps the log open
	if err := f.start(); err != nil {
		f.server.Close()
		return nil, fmt.Errorf("start %s: %w", p.Binary, err)
	}
	return f, nil
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

// start starts the process, watches for its end, and ends it if it never polls.
func (f *Function) start() error {
	f.mu.Lock() // the process may poll before the timer is set
	defer f.mu.Unlock()
	f.started = time.Now()
	if err := f.cmd.Start(); err != nil {
		return err
	}
	f.initTimer = time.AfterFunc(initTimeout, func() {
		f.failInit(&Error{Type: timedOut, Message: fmt.Sprintf("Init timed out after %v", initTimeout)})
		_ = f.cmd.Process.Kill() // an error means that it has already ended
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

// Ready waits until the process requests its first event. It returns the time from the start of the process. The
// error is an *Error if the process ended earlier, or an error of ctx.
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

// Invoke sends event to the process and returns the response. An event of type []byte is sent unchanged, any other
// as JSON. The error is an *Error if the function failed, the process ended, or the timeout was reached, which
// kills the process as in Lambda. If the process is busy, the event waits. If ctx is done first, Invoke returns its
// error and the process continues.
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

// lastResult returns the result of i after the process has ended. The process may have responded before its end.
func (f *Function) lastResult(i *invocation) ([]byte, error) {
	select {
	case r := <-i.result:
		return r.payload, r.err
	default:
		return nil, f.exitError(i.id)
	}
}

// Kill ends the process immediately and returns when it has ended. Further calls do nothing.
func (f *Function) Kill() {
	f.kill.Do(func() {
		_ = f.cmd.Process.Kill() // an error means that it has already ended
		<-f.exited
		f.server.Close()
	})
}

// Logs returns all output of the process so far, of stdout and stderr.
func (f *Function) Logs() string { return f.log.String() }

// recordPoll records that the process requests an event. The process has then finished the previous event.
func (f *Function) recordPoll() {
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
		f.current.finish(nil, &Error{Type: "Runtime.NoResponse", Message: "the process requested the next event without a response to this one"})
		f.current = nil
	}
}

// deliver makes i the current invocation and returns its deadline.
func (f *Function) deliver(i *invocation) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current = i
	i.timer = time.AfterFunc(i.timeout, func() {
		i.finish(nil, &Error{Type: timedOut,
			Message: fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", i.id, i.timeout.Seconds()), Log: f.Logs()})
		_ = f.cmd.Process.Kill() // an error means that it has already ended
	})
	return time.Now().Add(i.timeout)
}

// currentInvocation returns the current invocation if it has this id, otherwise nil.
func (f *Function) currentInvocation(id string) *invocation {
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

// exitError returns why the process has ended. exited must be closed.
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

// logBuffer is a bytes.Buffer that can be read while the process writes.
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

// PeakMemory returns the maximum resident memory of the process so far, in bytes. It is 0 on systems other than
// Linux.
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

// ProcessorTime returns the time that the threads of the process have spent on a processor so far. It is exact only
// while the process is idle. It is 0 on systems other than Linux.
func (f *Function) ProcessorTime() time.Duration {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", f.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var sum time.Duration
	for _, thread := range threads {
		var nanoseconds int64
		if stat, err := os.ReadFile(thread); err == nil { // a thread can end
			_, _ = fmt.Sscan(string(stat), &nanoseconds)
		}
		sum += time.Duration(nanoseconds)
	}
	return sum
}

// NewPages returns how many pages of memory the process has used for the first time so far, without those that the system read from a
// disk (minor page faults). It is 0 on systems other than Linux.
func (f *Function) NewPages() int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// The name of the command, in brackets, can contain spaces. Eight fields follow it before the page faults.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 8 {
		return 0
	}
	pages, err := strconv.Atoi(fields[7])
	if err != nil {
		return 0
	}
	return pages
}
