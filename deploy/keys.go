package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// The template's parameters for the hashes of the keys, and its output that says which keys exist.
const (
	fullParameter = "ApiKeySha256"
	readParameter = "ReadKeySha256"
	keysOutput    = "ApiKeys"
)

// Values of the output ApiKeys. A stack of an older template does not have the output and refuses every request.
const (
	openToAll   = "none"
	fullKeyOnly = "full"
	bothKeys    = "full and read"
)

// none as the full key opens the API to everyone. As the read key it removes the read key.
const none = "none"

// minKey is the minimum length, in characters, of a key that the user sets.
const minKey = 20

// checkOwnKeys checks the keys from the environment. They must be valid in an HTTP header and in a URL.
func (s Settings) checkOwnKeys() error {
	for _, own := range []struct{ variable, key string }{{"ECR_SCAN_API_KEY", s.FullKey}, {"ECR_SCAN_READ_KEY", s.ReadKey}} {
		switch {
		case own.key == "" || own.key == none:
		case len(own.key) < minKey:
			return fmt.Errorf("%s must have at least %d characters: use for example the output of `openssl rand -hex 32`", own.variable, minKey)
		case strings.ContainsFunc(own.key, func(c rune) bool { return c <= ' ' || c > '~' }):
			return fmt.Errorf("%s must consist of ASCII characters without spaces: use for example the output of `openssl rand -hex 32`", own.variable)
		}
	}
	if s.FullKey == s.ReadKey && s.FullKey != "" && s.FullKey != none {
		return errors.New("ECR_SCAN_API_KEY and ECR_SCAN_READ_KEY must differ: the read key may be part of a URL, the full key must not")
	}
	return nil
}

// keyChange is how a deploy changes the keys.
type keyChange struct {
	// parameters are the stack's parameters that change.
	parameters []string
	// created are the new keys, which this machine stores.
	created keys
}

// planKeys decides how a deploy changes the keys. Keys from the environment have priority. A stack that has keys
// keeps them. Every other stack gets new keys, including a stack that was open to everyone.
func (t *tool) planKeys(s *stack) keyChange {
	var c keyChange
	set := func(parameter, hash string) { c.parameters = append(c.parameters, parameter+"="+hash) }
	switch {
	case t.FullKey == none:
		set(fullParameter, none)
	case t.FullKey != "":
		set(fullParameter, hashOf(t.FullKey))
	case !s.requiresKey():
		c.created.Full = newKey()
		set(fullParameter, hashOf(c.created.Full))
	}
	switch {
	case t.ReadKey == none:
		set(readParameter, "")
	case t.ReadKey != "":
		set(readParameter, hashOf(t.ReadKey))
	case c.created.Full != "":
		c.created.Read = newKey()
		set(readParameter, hashOf(c.created.Read))
	}
	return c
}

// requiresKey reports whether the stack refuses requests without a key.
func (s *stack) requiresKey() bool {
	if s == nil {
		return false
	}
	state := s.output(keysOutput)
	return state == fullKeyOnly || state == bothKeys
}

// keysInWords describes the stack's keys for the output of status.
func (s *stack) keysInWords() string {
	switch state := s.output(keysOutput); {
	case state == openToAll:
		return "none: everyone may call the API"
	case !s.requiresKey():
		return "missing: every request is refused"
	default:
		return state
	}
}

// acceptedKeys returns those keys of the environment and of the key file that the stack accepts. A key on this
// machine is outdated if another machine has replaced it.
func (t *tool) acceptedKeys(ctx context.Context, c cli, s *stack) (keys, error) {
	if !s.requiresKey() {
		return keys{}, nil
	}
	kept, pending, err := t.keysOf(s.account(), c.region).both()
	if err != nil {
		return keys{}, err
	}
	own := keys{t.FullKey, t.ReadKey}
	if own == (keys{}) && kept == own && pending == own {
		return keys{}, nil
	}
	return t.matchingKeys(ctx, c, own, pending, kept)
}

// matchingKeys returns those candidates whose hashes are in the settings of ConfigsFunc. CloudFormation does not
// return the hashes, because the parameters are marked NoEcho.
func (t *tool) matchingKeys(ctx context.Context, c cli, candidates ...keys) (keys, error) {
	function, err := t.physicalID(ctx, c, functionType, "ConfigsFunc")
	if err != nil {
		return keys{}, err
	}
	var answer struct {
		Environment struct {
			Variables struct {
				Full string `json:"ECR_SCAN_API_KEY_SHA256"`
				Read string `json:"ECR_SCAN_READ_KEY_SHA256"`
			}
		}
	}
	if err := c.json(ctx, &answer, "lambda", "get-function-configuration", "--function-name", function); err != nil {
		return keys{}, err
	}
	known := answer.Environment.Variables
	var found keys
	for _, k := range candidates {
		if found.Full == "" && k.Full != "" && hashOf(k.Full) == known.Full {
			found.Full = k.Full
		}
		if found.Read == "" && k.Read != "" && hashOf(k.Read) == known.Read {
			found.Read = k.Read
		}
	}
	return found, nil
}

// finishChange completes an interrupted change of keys. It stores the keys that the stack accepts and deletes the
// second file. The stack must not be changing.
func (t *tool) finishChange(ctx context.Context, c cli, s *stack, file keyFile) error {
	kept, pending, err := file.both()
	if err != nil || pending == (keys{}) || !s.requiresKey() {
		return err
	}
	have, err := t.matchingKeys(ctx, c, pending, kept)
	if err != nil {
		return err
	}
	if have != (keys{}) {
		if err := file.write(have); err != nil {
			return err
		}
	}
	return os.Remove(string(file.pending()))
}

// showKeys prints new keys. They are printed only once.
func (t *tool) showKeys(created keys, file keyFile) {
	fmt.Fprintf(t.stdout, "\nCreated new keys. They are shown only once. This machine stores them in %s\n", file)
	if created.Full != "" {
		fmt.Fprintf(t.stdout, "  full key (permits everything)            %s\n", created.Full)
	}
	if created.Read != "" {
		fmt.Fprintf(t.stdout, "  read key (only reads, may be in a URL)   %s\n", created.Read)
	}
}

// adviceWithoutKey says what to do on a machine that does not have the key.
const adviceWithoutKey = "set ECR_SCAN_API_KEY to it, or create a new key with `make rotate-key` (the old key then stops working)"

// withKey returns the URL with the key as the HTTP Basic password.
func withKey(base, key string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	u.User = url.UserPassword("ecr", key)
	return u.String(), nil
}

// keyOfConfig returns the key of a config: the HMAC-SHA256 of its scan ID with the SHA-256 of the read key. The functions compute the same.
func keyOfConfig(id, readKey string) string {
	secret := sha256.Sum256([]byte(readKey))
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte(id))
	return hex.EncodeToString(mac.Sum(nil))
}
