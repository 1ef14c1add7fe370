//go:build deployment

package deployment

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMain creates the folder in which linkOnce keeps the functions for all tests.
func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "functions-")
	if err != nil {
		panic(err)
	}
	os.Setenv("BUILT_FUNCTIONS", folder) // make reads FUNCTIONS
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

// goScript copies a built function to $BUILT_FUNCTIONS, and copies it back before the next deploy builds it.
const goScript = `#!/bin/bash
case " $* " in *" -o dist/"*) ;; *) exec '%[1]s' "$@" ;; esac
name=${*: -1} # such as ./configs
exec 9>"$BUILT_FUNCTIONS/lock" && flock 9 || exit
if [ -f "$BUILT_FUNCTIONS/$name" ]; then cp "$BUILT_FUNCTIONS/$name" "dist/$name/bootstrap" || exit; fi
'%[1]s' "$@" && cp "dist/$name/bootstrap" "$BUILT_FUNCTIONS/$name"
`

// linkOnce adds a go command to the folder. A deploy deletes the functions that it built before, and then go would link each
// function in each deploy. With this command, go finds the function, and links it only if its code has changed.
func linkOnce(t *testing.T, folder string) {
	t.Helper()
	real, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "go")
	writeFile(t, path, fmt.Sprintf(goScript, real))
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
}
