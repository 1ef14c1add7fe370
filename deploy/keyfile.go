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

// keys are the keys of one stack that this machine has. An empty string is a key that this machine does not have.
type keys struct {
	// Full permits every request.
	Full string `json:"api"`
	// Read permits only reading. It may be part of a URL.
	Read string `json:"read"`
}

// newKey returns a key of 32 random bytes, encoded as letters and digits. Neither a URL nor a shell needs to escape
// it.
func newKey() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random))
}

// hashOf returns the SHA-256 of a key in hexadecimal digits. AWS gets only this hash, never the key.
func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// keyFile is the path of the file with the keys of a stack. Only the owner can read the file. New keys are written
// to a second file before the stack is updated. The second file replaces the first when the update has succeeded.
// So one of the two files contains the keys that the stack accepts, even if the update is interrupted.
type keyFile string

// keysOf returns the key file of the stack in an account and Region. Stacks in other accounts or Regions can have
// the same name.
func (t *tool) keysOf(account, region string) keyFile {
	return keyFile(filepath.Join(t.dir, ".ecr-scan-keys", t.Stack+"."+account+"."+region+".json"))
}

// pending returns the path of the second file.
func (f keyFile) pending() keyFile { return f + ".new" }

// read returns the keys in the file. It returns no keys if the file does not exist. Its errors do not contain the
// file's content.
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
		return keys{}, fmt.Errorf("other users can read the keys in %s (mode %04o): run `chmod 600 %s`, and `make rotate-key` if somebody may have read them", f, mode, f)
	}
	var k keys
	if err := json.NewDecoder(file).Decode(&k); err != nil {
		return keys{}, fmt.Errorf("%s is not a valid key file: delete it, and run `make rotate-key` to create a new key", f)
	}
	return k, nil
}

// both returns the keys in the file and those in the second file.
func (f keyFile) both() (kept, pending keys, err error) {
	if kept, err = f.read(); err != nil {
		return keys{}, keys{}, err
	}
	pending, err = f.pending().read()
	return kept, pending, err
}

// write writes the file atomically.
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

// commit replaces the file by the second file.
func (f keyFile) commit() error { return os.Rename(string(f.pending()), string(f)) }

// remove deletes both files and reports whether at least one of them existed.
func (f keyFile) remove() (bool, error) {
	first, second := os.Remove(string(f)), os.Remove(string(f.pending()))
	for _, err := range []error{first, second} {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return first == nil || second == nil, nil
}
