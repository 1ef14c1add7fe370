package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// keys are the keys of one stack, as far as this machine has them: "" is one that it doesn't have.
type keys struct {
	// Full may do everything.
	Full string `json:"api"`
	// Read may only read, and may stand in a URL.
	Read string `json:"read"`
}

// newKey makes a key of 32 random bytes, in letters and digits that mean themselves in a URL and in a shell.
func newKey() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random))
}

// hashOf is all that AWS is told of a key.
func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// keyFile is where this machine keeps the keys of a stack: a file that its owner alone may read. Keys that a change of the stack is to
// bring lie in a second one beside it, from before the change until it has succeeded. So whatever happens in between, those that the
// stack knows are in one of the two.
type keyFile string

// keysOf is the key file of the stack in an account and Region: stacks elsewhere may have the same name.
func (t *tool) keysOf(account, region string) keyFile {
	return keyFile(filepath.Join(t.dir, ".ecr-scan-keys", t.Stack+"."+account+"."+region+".json"))
}

// pending is the second file.
func (f keyFile) pending() keyFile { return f + ".new" }

// read reads the file; there are no keys when there is no file. What it holds is in no error.
func (f keyFile) read() (keys, error) {
	file, err := os.Open(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return keys{}, nil
	}
	if err != nil {
		return keys{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return keys{}, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return keys{}, fmt.Errorf("others may read the keys in %s (mode %04o): run `chmod 600 %s`, and `make rotate-key` if somebody may have", f, mode, f)
	}
	var k keys
	if err := json.NewDecoder(file).Decode(&k); err != nil {
		return keys{}, fmt.Errorf("%s holds no keys: remove it, and run `make rotate-key` for new ones", f)
	}
	return k, nil
}

// both reads the file and the second one.
func (f keyFile) both() (kept, pending keys, err error) {
	if kept, err = f.read(); err != nil {
		return keys{}, keys{}, err
	}
	pending, err = f.pending().read()
	return kept, pending, err
}

// write writes the file as a whole or not at all.
func (f keyFile) write(k keys) error {
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(string(f)), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(string(f)), "unfinished-") // with mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return os.Rename(file.Name(), string(f))
}

// settle makes the keys of the second file those of the first.
func (f keyFile) settle() error { return os.Rename(string(f.pending()), string(f)) }

// remove removes both files, and says whether there were any.
func (f keyFile) remove() (bool, error) {
	first, second := os.Remove(string(f)), os.Remove(string(f.pending()))
	for _, err := range []error{first, second} {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return first == nil || second == nil, nil
}
