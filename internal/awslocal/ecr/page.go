package ecr

import (
	"encoding/base64"
	"encoding/json"
	"hash/crc32"

	"ecr-continuous-scan/internal/awslocal"
)

// position is the content of a nextToken: the end of a page. Scope is the requestHash of the call, so that the token is valid
// only for the same request.
type position struct {
	Scope uint32 `json:"s"`
	Seq   int64  `json:"n"`
	Text  string `json:"t,omitempty"`
}

// requestHash returns a hash of the parameters that must be the same for all pages.
func requestHash(call awslocal.Call, q *request) uint32 {
	id := imageID{}
	if q.ImageID != nil {
		id = *q.ImageID
	}
	return crc32.ChecksumIEEE([]byte(awslocal.MustJSON([]any{call, q.Filter, id})))
}

func (p position) token() string {
	body := []byte(awslocal.MustJSON(p))
	sum := crc32.ChecksumIEEE(body)
	return base64.URLEncoding.EncodeToString(append(body, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)))
}

// pageStart returns the position after which the call's page starts: that of the token, or start if there is no token.
func (q *request) pageStart(call awslocal.Call, start position) (position, error) {
	start.Scope = requestHash(call, q)
	if q.NextToken == "" {
		return start, nil
	}
	bad := invalidParameter("nextToken", "is not a token of this operation with these parameters")
	raw, err := base64.URLEncoding.DecodeString(q.NextToken)
	if err != nil || len(raw) < 4 {
		return start, bad
	}
	var p position
	if json.Unmarshal(raw[:len(raw)-4], &p) != nil || p.token() != q.NextToken || p.Scope != start.Scope {
		return start, bad
	}
	return p, nil
}
