package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Access says who may call the API. Its zero value lets nobody in.
//
// There are two keys, of which only the SHA-256 hashes are known here. The full key may do everything; it comes as the password of HTTP
// Basic, with any user name, or as a Bearer token, and nowhere else, since a URL ends up in histories and logs. The read key may only read;
// it also comes as ?key= for feed readers and browsers that can send no header.
type Access struct {
	open       bool
	full, read []byte // SHA-256; nil when there is no such key
	badges     bool   // need no key
}

// OpenAccess lets everyone do everything.
func OpenAccess() Access { return Access{open: true} }

// ParseAccess reads the hashes of the full and of the read key, 64 hexadecimal digits each. "none" for the full key opens the API to
// everyone; an empty read hash means that there is no read key. On an error the returned Access lets nobody in.
func ParseAccess(full, read string) (Access, error) {
	if full == "none" {
		return OpenAccess(), nil
	}
	fullHash, err := parseHash(full)
	if err != nil {
		return Access{}, fmt.Errorf("the hash of the API key %w", err)
	}
	if read == "" {
		return Access{full: fullHash}, nil
	}
	readHash, err := parseHash(read)
	if err != nil {
		return Access{}, fmt.Errorf("the hash of the read key %w", err)
	}
	return Access{full: fullHash, read: readHash}, nil
}

// WithPublicBadges is the same access, but that everyone may see badges, if they know the scan ID, and nothing else.
func (a Access) WithPublicBadges() Access {
	a.badges = true
	return a
}

func (a Access) opensBadges() bool { return a.open || a.badges }

// parseHash doesn't repeat what it was given in its errors: it could be a key in the wrong place.
func parseHash(s string) ([]byte, error) {
	if s == "" {
		return nil, errors.New("is missing")
	}
	hash, err := hex.DecodeString(s)
	if err != nil || len(hash) != sha256.Size {
		return nil, errors.New("is not 64 hexadecimal digits")
	}
	return hash, nil
}

// rights are what a key is good for.
type rights int

const (
	noRights rights = iota
	mayRead
	mayWrite
)

// check lets a request pass, or says why not. It comes before everything else, so that without a key all paths look alike.
func (a Access) check(r *http.Request) error {
	if a.open || a.badges && asksForBadge(r) {
		return nil
	}
	switch a.rightsOf(r) {
	case mayWrite:
		return nil
	case mayRead:
		if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions {
			return nil
		}
		return &problem{Status: http.StatusForbidden, Detail: "The read key may only read: this call needs the full key."}
	}
	return &problem{Status: http.StatusUnauthorized, Detail: "This API needs a key: send it as the password of HTTP Basic or as a Bearer token."}
}

func (a Access) rightsOf(r *http.Request) rights {
	if key, ok := headerKey(r); ok {
		return max(grant(key, a.full, mayWrite), grant(key, a.read, mayRead))
	}
	if key, ok := urlKey(r); ok {
		return grant(key, a.read, mayRead)
	}
	return noRights
}

// grant takes the same time for every key.
func grant(key string, hash []byte, is rights) rights {
	sum := sha256.Sum256([]byte(key))
	if subtle.ConstantTimeCompare(sum[:], hash) == 1 {
		return is
	}
	return noRights
}

// headerKey is the key in the Authorization header, if there is one header of a known form.
func headerKey(r *http.Request) (string, bool) {
	if len(r.Header.Values("Authorization")) != 1 {
		return "", false
	}
	if _, password, ok := r.BasicAuth(); ok {
		return password, password != ""
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}

// urlKey is the key in the URL, if there is exactly one.
func urlKey(r *http.Request) (string, bool) {
	keys := r.URL.Query()["key"]
	if len(keys) != 1 || keys[0] == "" {
		return "", false
	}
	return keys[0], true
}
