package setup

import (
	"runtime"
	"testing"
)

// The executables of the functions have an id. Each start finds the same one.
func TestBuild(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only executables for Linux have this id")
	}
	if first, second := Build(), Build(); first == "" || first != second || buildID() == "" {
		t.Errorf("%q, then %q", first, second)
	}
}
