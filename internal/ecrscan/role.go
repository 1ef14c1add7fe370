package ecrscan

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"ecr-continuous-scan/internal/scan"
)

// Role is the role that a client assumes to call the registries of other accounts. It has the same name in each account.
type Role struct {
	// ARN is the ARN that the role has, or would have, in the account of the service. That account's own registry is called without a role.
	// If the ARN ends with "role/", there is no role: other accounts must permit the calls in policies of their repositories.
	ARN string
	// Session is the name of the sessions: ReadSession or VisitSession. The role permits to start scans only in a VisitSession.
	Session string
}

// The names of sessions. deploy/member-role.yaml has the same names.
const (
	ReadSession  = "ecr-continuous-scan-read"
	VisitSession = "ecr-continuous-scan-visit"
)

// sessionMargin is how long before its end a session is replaced. A session lasts 15 minutes. maxSessions is the maximum number of
// sessions that are kept.
const (
	sessionMargin = 2 * time.Minute
	maxSessions   = 1000
)

// NewWithRole is like [New], but the client assumes a role in the accounts of other registries. It returns an error if the ARN of the role
// is invalid.
func NewWithRole(cfg aws.Config, role Role) (*Client, error) {
	own, err := arn.Parse(role.ARN)
	name, ok := strings.CutPrefix(own.Resource, rolePrefix)
	if err != nil || !ok {
		return nil, fmt.Errorf("%q is not the ARN of a role", role.ARN)
	}
	c := New(cfg)
	c.roles = &roles{own: own, name: name, session: role.Session, sts: sts.NewFromConfig(cfg), sessions: make(map[string]aws.CredentialsProvider)}
	return c, nil
}

const rolePrefix = "role/"

// roles has a session of the role for each registry of another account. A nil *roles does not know its own account, and has no role.
type roles struct {
	own     arn.ARN
	name    string // empty if there is no role
	session string
	sts     *sts.Client // in the Region of the service: the sessions are valid in all Regions

	mu       sync.Mutex
	sessions map[string]aws.CredentialsProvider
}

// isOther reports whether a registry is known to belong to another account.
func (r *roles) isOther(registry string) bool { return r != nil && registry != r.own.AccountID }

// isFor reports whether the calls to a registry need the role.
func (r *roles) isFor(registry string) bool { return r.isOther(registry) && r.name != "" }

// of returns the credentials for a registry. They assume the role when they are used for the first time, and again shortly before a session ends.
func (r *roles) of(registry string) aws.CredentialsProvider {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sessions[registry]; s != nil {
		return s
	}
	if len(r.sessions) >= maxSessions {
		clear(r.sessions)
	}
	role := r.own
	role.AccountID = registry
	assume := stscreds.NewAssumeRoleProvider(r.sts, role.String(), func(o *stscreds.AssumeRoleOptions) { o.RoleSessionName = r.session })
	s := aws.NewCredentialsCache(marked{assume}, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = sessionMargin })
	r.sessions[registry] = s
	return s
}

// marked marks the errors of a provider, so that they are not taken for errors of ECR.
type marked struct{ aws.CredentialsProvider }

func (m marked) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := m.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		err = &assumeError{err}
	}
	return c, err
}

// assumeError is an error of STS.
type assumeError struct{ error }

func (e *assumeError) Unwrap() error { return e.error }

func isAssumeError(err error) bool {
	_, ok := errors.AsType[*assumeError](err)
	return ok
}

// explain returns the code and the message of an error of a call about repo, which is in a registry of another account: which account, which step
// failed, and what to do. code and message are those of the same error in the service's own account.
func (r *roles) explain(repo scan.Repository, err error, code scan.Code, message string) (scan.Code, string) {
	role := "the role " + r.name + " of account " + repo.Registry
	switch {
	case r.name == "" && isDenied(err):
		remedy := "set RegistryRole (deploy/member-role.yaml)"
		if repo.Name != "" {
			remedy = "set its repository policy, or RegistryRole (deploy/member-role.yaml)"
		}
		return code, "account " + repo.Registry + " gives " + message + ": " + remedy
	case r.name == "":
		return code, message
	case isAssumeError(err) && code == scan.NoAccess:
		return code, "the service may not assume " + role + ": create the role there with deploy/member-role.yaml"
	case isAssumeError(err):
		if api, ok := errors.AsType[smithy.APIError](err); ok && code == scan.Internal {
			return scan.NoAccess, "STS refused to assume " + role + ": " + api.ErrorCode()
		}
		return scan.Unavailable, role + " can't be assumed now"
	case code == scan.NoAccess:
		return code, role + " has " + message + ": update it there with deploy/member-role.yaml"
	}
	return code, message
}

// isDenied reports whether a policy does not permit a call. Other errors with the code NoAccess are about the credentials.
func isDenied(err error) bool {
	return isCode(err, "AccessDeniedException") || isCode(err, "AccessDenied")
}
