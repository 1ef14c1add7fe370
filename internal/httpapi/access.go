package httpapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"ecr-continuous-scan/internal/scan"
)

// Access defines who may call the API. The zero value denies every request.
//
// There are two keys. Access stores only their SHA-256 hashes. The full key allows every call. A client sends it as the password
// of HTTP Basic, with any user name, or as a Bearer token. It is not accepted in the URL, because URLs are stored in browser
// histories and logs. The read key allows only calls that read. It is also accepted as the parameter key in the URL, because
// some feed readers and browsers can't send a header. Each config also has a key of its own, which is made from the hash of the read
// key. It allows what the read key allows, but only on the paths of that config.
type Access struct {
	open       bool
	full, read []byte // SHA-256; nil if there is no such key
	badges     bool   // badges need no key
}

// OpenAccess allows every call without a key.
func OpenAccess() Access { return Access{open: true} }

// ParseAccess parses the SHA-256 hashes of the full key and the read key, 64 hexadecimal digits each. If full is "none", no call
// needs a key. If read is empty, there is no read key. It returns an error for a missing or malformed hash, with an Access that
// denies every request.
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

// WithPublicBadges returns a copy of a that also allows everyone to read badges. A client still has to know the scan ID.
func (a Access) WithPublicBadges() Access {
	a.badges = true
	return a
}

func (a Access) opensBadges() bool { return a.open || a.badges }

// parseHash does not include s in its errors, because somebody may have set a key instead of its hash.
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

// rights are the permissions of a key.
type rights int

const (
	noRights rights = iota
	mayRead
	mayWrite
)

// check returns nil if the request is allowed, otherwise the problem to send. It runs before routing, so that a client without a
// key can't find out which paths exist.
func (a Access) check(r *http.Request) error {
	if a.open || a.badges && isBadgeRequest(r) {
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
	return &problem{Status: http.StatusUnauthorized, Detail: "This API needs a key: send it as the password of HTTP Basic or as a Bearer token. " +
		"The key of a config opens only the findings, changes, gate and badge of that config."}
}

func (a Access) rightsOf(r *http.Request) rights {
	if key, ok := headerKey(r); ok {
		return max(grant(key, a.full, mayWrite), grant(key, a.read, mayRead), a.grantConfig(key, r))
	}
	if key, ok := urlKey(r); ok {
		return max(grant(key, a.read, mayRead), a.grantConfig(key, r))
	}
	return noRights
}

// grant returns granted if the key matches the hash. The comparison takes constant time, so that timing reveals nothing about
// the hash.
func grant(key string, hash []byte, granted rights) rights {
	sum := sha256.Sum256([]byte(key))
	if subtle.ConstantTimeCompare(sum[:], hash) == 1 {
		return granted
	}
	return noRights
}

// grantConfig returns mayRead if the key is that of the config to which the path belongs.
func (a Access) grantConfig(key string, r *http.Request) rights {
	want := a.configKey(configOf(r.URL.EscapedPath()))
	if want != "" && subtle.ConstantTimeCompare([]byte(key), []byte(want)) == 1 {
		return mayRead
	}
	return noRights
}

// configKey returns the key of a config: the HMAC-SHA256 of its scan ID with the hash of the read key. It returns "" if there is no read key, or no
// scan ID. Another read key makes other keys. The program in the folder deploy makes the same keys.
func (a Access) configKey(id string) string {
	if a.read == nil || id == "" {
		return ""
	}
	mac := hmac.New(sha256.New, a.read)
	mac.Write([]byte(id))
	return hex.EncodeToString(mac.Sum(nil))
}

// configPath matches the escaped paths that belong to one config, except that of the config itself. Paths in any other notation need the read key,
// so that escapes can't be used to reach another resource.
var configPath = regexp.MustCompile(`^/(?:(?:findings|gate)/([0-9a-f-]+)(?:/[a-z]+)?|badge/([0-9a-f-]+)\.svg)$`)

// configOf returns the scan ID in a path that belongs to one config, and "" for every other path.
func configOf(path string) string {
	parts := configPath.FindStringSubmatch(path)
	if parts == nil || !scan.ValidID(parts[1]+parts[2]) {
		return ""
	}
	return parts[1] + parts[2]
}

// headerKey returns the key in the Authorization header. It returns false unless there is exactly one such header, with the
// scheme Basic or Bearer and a key.
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

// urlKey returns the value of the parameter key, and false unless it is given exactly once.
func urlKey(r *http.Request) (string, bool) {
	keys := r.URL.Query()["key"]
	if len(keys) != 1 || keys[0] == "" {
		return "", false
	}
	return keys[0], true
}
