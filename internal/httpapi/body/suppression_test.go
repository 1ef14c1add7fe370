package body

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// A reason is required, so the error of an empty one does not say to leave it out.
func TestErrorOfAnEmptyReason(t *testing.T) {
	_, err := parseSuppression([]byte(`{"package":"a","reason":""}`), time.Now())
	var e *scan.Error
	if !errors.As(err, &e) || len(e.Fields) != 1 || e.Fields[0] != (scan.FieldError{Pointer: "/reason", Detail: suppress.ReasonRule}) {
		t.Errorf("%+v", err)
	}
}

// For any body, an accepted suppression is valid, and has the same values as encoding/json reads.
func FuzzParseSuppression(f *testing.F) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	f.Add([]byte(`{"package":"linux*","reason":"the host's kernel runs","until":"2027-01-31T01:00:00+01:00"}`))
	f.Add([]byte(`{"vulnerability":"CVE-1","version":"1","path":"a","repository":"a/*","tag":"v*","registry":"1*","region":"eu-*","digest":"x","reason":"r","justification":"component_not_present"}`))
	f.Add([]byte(`{"package":null,"Package":"a","id":"x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := parseSuppression(body, now)
		if err != nil {
			checkError(t, err)
			return
		}
		if err := s.Validate(now); err != nil || !s.IsActive(now) {
			t.Errorf("accepted an invalid suppression: %+v, %v", s, err)
		}
		var plain suppress.Suppression
		var until struct{ Until string }
		if err := json.Unmarshal(body, &until); err != nil {
			t.Fatalf("accepted a body that encoding/json rejects: %v", err)
		}
		s.Until = time.Time{}
		if _ = json.Unmarshal(body, &plain); until.Until == "" && plain != s { // an error can only be a date in until
			t.Errorf("%+v, encoding/json reads %+v", s, plain)
		}
	})
}
