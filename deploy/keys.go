package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// Parameters of the template with the keys' hashes, and its output that says which keys there are.
const (
	fullParameter = "ApiKeySha256"
	readParameter = "ReadKeySha256"
	keysOutput    = "ApiKeys"
)

// Values of that output that matter here. The stack of an older template has none, and lets nobody in either.
const (
	openToAll   = "none"
	fullKeyOnly = "full"
	bothKeys    = "full and read"
)

// none, in place of a key, opens the API, and takes the read key away.
const none = "none"

// minKey is how long a key of the user's own must be, in characters.
const minKey = 20

// checkOwnKeys checks the keys that the environment gives. They must do in a header and in a URL.
func (s Settings) checkOwnKeys() error {
	for _, own := range []struct{ variable, key string }{{"ECR_SCAN_API_KEY", s.FullKey}, {"ECR_SCAN_READ_KEY", s.ReadKey}} {
		switch {
		case own.key == "" || own.key == none:
		case len(own.key) < minKey:
			return fmt.Errorf("%s must have at least %d characters, as from `openssl rand -hex 32`", own.variable, minKey)
		case strings.ContainsFunc(own.key, func(c rune) bool { return c <= ' ' || c > '~' }):
			return fmt.Errorf("%s must be of ASCII characters without blanks, as from `openssl rand -hex 32`", own.variable)
		}
	}
	if s.FullKey == s.ReadKey && s.FullKey != "" && s.FullKey != none {
		return errors.New("ECR_SCAN_API_KEY and ECR_SCAN_READ_KEY must differ: the one may stand in a URL, the other must not")
	}
	return nil
}

// keyChange is what a deploy does about the keys.
type keyChange struct {
	// parameters are those of the stack that change.
	parameters []string
	// made are the keys that are new and to be kept on this machine.
	made keys
}

// planKeys decides about the keys: those of the environment go first; a stack that has keys keeps them; any other, also one that was open,
// gets new ones.
func (t *tool) planKeys(s *stack) keyChange {
	var c keyChange
	set := func(parameter, hash string) { c.parameters = append(c.parameters, parameter+"="+hash) }
	switch {
	case t.FullKey == none:
		set(fullParameter, none)
	case t.FullKey != "":
		set(fullParameter, hashOf(t.FullKey))
	case !s.closed():
		c.made.Full = newKey()
		set(fullParameter, hashOf(c.made.Full))
	}
	switch {
	case t.ReadKey == none:
		set(readParameter, "")
	case t.ReadKey != "":
		set(readParameter, hashOf(t.ReadKey))
	case c.made.Full != "":
		c.made.Read = newKey()
		set(readParameter, hashOf(c.made.Read))
	}
	return c
}

// closed tells whether the stack has a key, and so lets in those alone who have it.
func (s *stack) closed() bool {
	if s == nil {
		return false
	}
	state := s.output(keysOutput)
	return state == fullKeyOnly || state == bothKeys
}

// keysInWords says which keys the stack has, and what that means when it has none.
func (s *stack) keysInWords() string {
	switch state := s.output(keysOutput); {
	case state == openToAll:
		return "none: everyone may call the API"
	case !s.closed():
		return "missing: every request is refused"
	default:
		return state
	}
}

// haveKeys are the keys that this machine has, from the environment or a file, and that the stack lets in. Others it may have from before
// they were changed elsewhere.
func (t *tool) haveKeys(ctx context.Context, c cli, s *stack) (keys, error) {
	if !s.closed() {
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
	return t.inForce(ctx, c, own, pending, kept)
}

// inForce picks the keys that the functions let in. CloudFormation doesn't tell the hashes that it was given; the functions' settings do.
func (t *tool) inForce(ctx context.Context, c cli, candidates ...keys) (keys, error) {
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

// finishChange ends a change of keys that was cut off, now that the stack is at rest: keys that came into force are kept, others dropped.
func (t *tool) finishChange(ctx context.Context, c cli, s *stack, file keyFile) error {
	kept, pending, err := file.both()
	if err != nil || pending == (keys{}) || !s.closed() {
		return err
	}
	have, err := t.inForce(ctx, c, pending, kept)
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

// showKeys shows keys that are new, this once.
func (t *tool) showKeys(made keys, file keyFile) {
	fmt.Fprintf(t.stdout, "\nMade new keys, which are shown this once. This machine keeps them in %s\n", file)
	if made.Full != "" {
		fmt.Fprintf(t.stdout, "  full key, for everything      %s\n", made.Full)
	}
	if made.Read != "" {
		fmt.Fprintf(t.stdout, "  read key, also within a URL   %s\n", made.Read)
	}
}

// toGetIn is what to do on a machine that lacks the key.
const toGetIn = "set ECR_SCAN_API_KEY to it, or make a new one with `make rotate-key`, which locks the old one out"

// withKey is the URL with the key as the password of HTTP Basic.
func withKey(base, key string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	u.User = url.UserPassword("ecr", key)
	return u.String(), nil
}
