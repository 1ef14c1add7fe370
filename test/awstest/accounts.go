package awstest

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"ecr-continuous-scan/internal/awslocal"
)

// Accounts is an ECR whose registries belong to several accounts, and the STS that gives the sessions of their roles. It refuses a call to the registry
// of another account than that of the caller. A caller without a session belongs to [awslocal.DefaultRegistry].
type Accounts struct {
	ECR http.Handler
	Now func() time.Time
	// Lasts is how long a session lasts. Fault returns the status and the code of an error of STS, or 0.
	Lasts time.Duration
	Fault func() (status int, code string)

	mu sync.Mutex
	// trusted are the ARNs of the roles that may be assumed, and keys the sessions by access key.
	trusted map[string]bool
	keys    map[string]Session
	// Assumed are the sessions in the order in which they began, and Refused the number of refused ones.
	Assumed []Session
	Refused int
}

// Session is a session of a role.
type Session struct{ Role, Name string }

// NewAccounts returns accounts without roles. handler handles the calls to ECR.
func NewAccounts(handler http.Handler, now func() time.Time) *Accounts {
	return &Accounts{ECR: handler, Now: now, Lasts: 15 * time.Minute, trusted: map[string]bool{}, keys: map[string]Session{}}
}

// Trust creates a role that the service may assume, or deletes it.
func (a *Accounts) Trust(role string, exists bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trusted[role] = exists
}

// Sessions returns the sessions that began so far, and the number of those that were refused.
func (a *Accounts) Sessions() (began []Session, refused int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Session(nil), a.Assumed...), a.Refused
}

var accessKey = regexp.MustCompile(`Credential=([^/, ]+)/`)

func (a *Accounts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if r.Header.Get("X-Amz-Target") == "" {
		a.assumeRole(w, r)
		return
	}
	q, caller := map[string]any{}, a.callerOf(r)
	_ = json.Unmarshal(body, &q) // a body that is not JSON has no registry
	if q["registryId"] == nil {  // without it, ECR uses the registry of the caller
		q["registryId"] = caller
		r.Body = io.NopCloser(strings.NewReader(awslocal.MustJSON(q)))
	}
	if q["registryId"] != caller {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		target := r.Header.Get("X-Amz-Target")
		action := "ecr:" + target[strings.LastIndex(target, ".")+1:]
		_, _ = io.WriteString(w, awslocal.MustJSON(map[string]string{
			"__type": "AccessDeniedException", "message": "User: x is not authorized to perform: " + action + " because no resource-based policy allows the " + action + " action",
		}))
		return
	}
	a.ECR.ServeHTTP(w, r)
}

// callerOf returns the account of the session that signed a request.
func (a *Accounts) callerOf(r *http.Request) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if key := accessKey.FindStringSubmatch(r.Header.Get("Authorization")); key != nil {
		if role, err := arn.Parse(a.keys[key[1]].Role); err == nil {
			return role.AccountID
		}
	}
	return awslocal.DefaultRegistry
}

// assumeRole handles AssumeRole, the only call of STS that the service makes (AWS Query protocol).
func (a *Accounts) assumeRole(w http.ResponseWriter, r *http.Request) {
	role, name := r.FormValue("RoleArn"), r.FormValue("RoleSessionName")
	a.mu.Lock()
	defer a.mu.Unlock()
	status, code := 0, ""
	switch {
	case a.Fault != nil:
		status, code = a.Fault()
	case r.FormValue("Action") != "AssumeRole", !a.trusted[role]:
		status, code = http.StatusForbidden, "AccessDenied"
	}
	w.Header().Set("Content-Type", "text/xml")
	if status != 0 {
		a.Refused++
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<ErrorResponse><Error><Type>Sender</Type><Code>"+code+"</Code><Message>User: x is not authorized to perform: sts:AssumeRole on resource: "+role+"</Message></Error></ErrorResponse>")
		return
	}
	a.Assumed = append(a.Assumed, Session{role, name})
	key := "ASIA" + strconv.Itoa(len(a.Assumed))
	a.keys[key] = Session{role, name}
	type credentials struct{ AccessKeyId, SecretAccessKey, SessionToken, Expiration string }
	answer, err := xml.Marshal(struct {
		XMLName     xml.Name    `xml:"AssumeRoleResponse"`
		Credentials credentials `xml:"AssumeRoleResult>Credentials"`
	}{Credentials: credentials{key, "secret", "token", a.Now().Add(a.Lasts).UTC().Format(time.RFC3339)}})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(answer)
}
