package lambdaruntime

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	bare   = "test/lambdaruntime/testdata/bare"
	echo   = "test/lambdaruntime/testdata/echo"
	faulty = "test/lambdaruntime/testdata/faulty"

	long = time.Minute // a timeout that no test reaches
)

func wantError(t *testing.T, err error, errorType, message string) *Error {
	t.Helper()
	var failure *Error
	if !errors.As(err, &failure) {
		t.Fatalf("got %v, want an *Error of type %s", err, errorType)
	}
	if failure.Type != errorType || !strings.Contains(failure.Message, message) {
		t.Errorf("got %q: %q, want %q with %q", failure.Type, failure.Message, errorType, message)
	}
	return failure
}

func TestInvoke(t *testing.T) {
	f := Start(t, Build(t, bare), nil)
	for range 3 {
		payload, err := f.Invoke(t.Context(), ScheduleEvent(), long)
		if err != nil || string(payload) != `"ok"`+"\n" && string(payload) != `"ok"` {
			t.Fatalf("payload %q, error %v", payload, err)
		}
	}
	cold, err := f.Ready(t.Context())
	if err != nil || cold <= 0 {
		t.Errorf("cold start %v, error %v", cold, err)
	}
}

func TestConcurrentInvocationsWait(t *testing.T) {
	f := Start(t, Build(t, faulty), nil)
	var group sync.WaitGroup
	for _, event := range []string{"a", "b", "c", "d", "e"} {
		group.Go(func() {
			payload, err := f.Invoke(t.Context(), event, long)
			if err != nil || strings.TrimSpace(string(payload)) != `"`+event+`"` {
				t.Errorf("event %s: payload %q, error %v", event, payload, err)
			}
		})
	}
	group.Wait()
}

func TestContextOfAnInvocation(t *testing.T) {
	f := Start(t, Build(t, faulty), nil)
	payload, err := f.Invoke(t.Context(), []byte(`"context"`), long)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Left           float64
		ID, ARN, Trace string
	}
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatal(err)
	}
	if got.Left <= 0 || got.Left > long.Seconds() || len(got.ID) != 36 || got.ARN != "arn:aws:lambda:us-west-2:123456789012:function:faulty" ||
		!strings.HasPrefix(got.Trace, "Root=1-") {
		t.Errorf("got %+v", got)
	}
}

func TestEnvironmentOfAFunction(t *testing.T) {
	t.Setenv("SECRET_OF_THE_DEVELOPER", "1")
	f := Start(t, Build(t, faulty), map[string]string{"ECR_SCAN_CONFIG_BUCKET": "configs", "AWS_REGION": "eu-central-1"})
	payload, err := f.Invoke(t.Context(), "environ", long)
	if err != nil {
		t.Fatal(err)
	}
	var env []string
	if err := json.Unmarshal(payload, &env); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ECR_SCAN_CONFIG_BUCKET=configs", "AWS_REGION=eu-central-1", "AWS_DEFAULT_REGION=us-west-2",
		"AWS_LAMBDA_LOG_FORMAT=JSON", "AWS_LAMBDA_FUNCTION_NAME=faulty"} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is not in %q", want, env)
		}
	}
	for _, entry := range env {
		if strings.HasPrefix(entry, "SECRET_") || strings.HasPrefix(entry, "HOME=") {
			t.Errorf("%s is in the environment", entry)
		}
	}
}

// A failed invocation is an error. Lambda's runtime for Go decides whether the process survives it.
func TestFailedInvocation(t *testing.T) {
	binary := Build(t, faulty)
	tests := []struct {
		fault, errorType, message, log string
		survives                       bool
	}{
		{"error", "errorString", "the function failed", "", true},
		{"stream", "errorString", "the stream broke", "", true},
		{"panic", "string", "on purpose", "", false},
		{"exit", "Runtime.ExitError", "exit status 4", "handling exit", false},
		{"large", "Function.ResponseSizeTooLarge", "6291556 bytes", "", false},
	}
	for _, test := range tests {
		t.Run(test.fault, func(t *testing.T) {
			f := Start(t, binary, nil)
			payload, err := f.Invoke(t.Context(), test.fault, long)
			if failure := wantError(t, err, test.errorType, test.message); !strings.Contains(failure.Log, test.log) || payload != nil {
				t.Errorf("payload %q, log %q", payload, failure.Log)
			}
			payload, err = f.Invoke(t.Context(), "again", long)
			if !test.survives {
				wantError(t, err, "Runtime.ExitError", "Runtime exited with error")
				if !strings.Contains(err.Error(), "starting") {
					t.Errorf("the error does not contain the log: %v", err)
				}
			} else if err != nil || strings.TrimSpace(string(payload)) != `"again"` {
				t.Errorf("payload %q, error %v", payload, err)
			}
		})
	}
}

func TestTimeoutKillsTheProcess(t *testing.T) {
	f := Start(t, Build(t, faulty), nil)
	if _, err := f.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := f.Invoke(t.Context(), "sleep", 50*time.Millisecond)
	wantError(t, err, timedOut, "Task timed out after 0.05 seconds")
	_, err = f.Invoke(t.Context(), "again", long)
	wantError(t, err, "Runtime.ExitError", "signal: killed")
}

func TestKillDuringAnInvocation(t *testing.T) {
	f := Start(t, Build(t, faulty), nil)
	failed := make(chan error)
	go func() {
		_, err := f.Invoke(t.Context(), "sleep", long)
		failed <- err
	}()
	for !strings.Contains(f.Logs(), "handling sleep") {
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
		time.Sleep(time.Millisecond)
	}
	f.Kill()
	wantError(t, <-failed, "Runtime.ExitError", "signal: killed")
	f.Kill()
}

func TestInitFailure(t *testing.T) {
	binary := Build(t, faulty)
	tests := []struct{ init, message, log string }{
		{"exit", "exit status 3", "no bucket given"},
		{"done", "without providing a reason", "starting"},
	}
	for _, test := range tests {
		t.Run(test.init, func(t *testing.T) {
			f := Start(t, binary, map[string]string{"INIT": test.init})
			_, err := f.Invoke(t.Context(), "x", long)
			if failure := wantError(t, err, "Runtime.ExitError", test.message); !strings.Contains(failure.Log, test.log) {
				t.Errorf("log %q", failure.Log)
			}
			if _, err := f.Ready(t.Context()); err == nil {
				t.Error("Ready returned no error for a process that never polled")
			}
		})
	}
}

// The runtime of aws-lambda-go never reports an initialization error, but other runtimes do.
func TestReportedInitError(t *testing.T) {
	f := &Function{name: "f", exited: make(chan struct{})}
	request, err := http.NewRequestWithContext(t.Context(), "POST", "/2018-06-01/runtime/init/error",
		strings.NewReader(`{"errorType":"Config","errorMessage":"no bucket given"}`))
	if err != nil {
		t.Fatal(err)
	}
	if status := roundTrip(t, f, request); status != http.StatusAccepted {
		t.Errorf("status %d", status)
	}
	close(f.exited)
	_, err = f.Invoke(t.Context(), "x", long)
	wantError(t, err, "Config", "no bucket given")
}

func TestInvokeReturnsWhenItsContextIsDone(t *testing.T) {
	f := Start(t, Build(t, faulty), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Invoke(ctx, "sleep", long); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := f.Invoke(t.Context(), make(chan int), long); err == nil {
		t.Error("Invoke accepted a channel as an event")
	}
}

func TestUnknownInvocation(t *testing.T) {
	for _, path := range []string{"response", "error"} {
		request, err := http.NewRequestWithContext(t.Context(), "POST", "/2018-06-01/runtime/invocation/x/"+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if status := roundTrip(t, &Function{}, request); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", path, status)
		}
	}
}

// Run starts the function through a command, which stays the same process.
func TestRunThroughACommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	f, err := Run(Process{Binary: Build(t, bare), Folder: t.TempDir(), Through: []string{"/bin/sh", "-c", `echo $$ > "$0" && exec "$1"`, file}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Kill()
	if _, err := f.Invoke(t.Context(), ScheduleEvent(), long); err != nil {
		t.Fatal(err)
	}
	pid, err := os.ReadFile(file)
	if err != nil || strings.TrimSpace(string(pid)) != strconv.Itoa(f.cmd.Process.Pid) {
		t.Errorf("the command has the process id %q, %v, the function %d", pid, err, f.cmd.Process.Pid)
	}
	before := f.ProcessorTime()
	for range 20 {
		if _, err := f.Invoke(t.Context(), ScheduleEvent(), long); err != nil {
			t.Fatal(err)
		}
	}
	if after := f.ProcessorTime(); runtime.GOOS == "linux" && (before <= 0 || after <= before) {
		t.Errorf("%v of a processor before 20 events, %v after them", before, after)
	}
	if _, err := Run(Process{Binary: filepath.Join(t.TempDir(), "none"), Folder: t.TempDir()}); err == nil {
		t.Error("no error for a program that does not exist")
	}
}
