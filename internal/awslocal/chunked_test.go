package awslocal_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/awslocal"
)

// upload sends a body in aws-chunked encoding and returns the status and the error.
func upload(s *awslocal.S3, body, length string) (int, string) {
	r := httptest.NewRequest(http.MethodPut, "/"+bucket+"/key", strings.NewReader(body))
	for name, value := range map[string]string{
		"X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Trailer": "x-amz-checksum-crc32", "Content-Encoding": "aws-chunked",
		"X-Amz-Decoded-Content-Length": length,
	} {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// chunked is the object "abc" in aws-chunked encoding, as an SDK sends it over TLS.
const chunked = "3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n"

// An upload in aws-chunked encoding is stored without the encoding. A damaged one is refused, and changes nothing.
func TestUploadInChunks(t *testing.T) {
	s, err := awslocal.NewMemoryS3(bucket)
	if err != nil {
		t.Fatal(err)
	}
	client := serveS3(t, s)
	if status, message := upload(s, chunked, "3"); status != http.StatusOK {
		t.Fatalf("%d %s", status, message)
	}
	for name, test := range map[string]struct{ body, length, code string }{
		"another checksum": {strings.Replace(chunked, "abc", "abd", 1), "3", "BadDigest"},
		"no checksum":      {"3\r\nabc\r\n0\r\n\r\n", "3", "BadDigest"},
		"another length":   {chunked, "4", "IncompleteBody"},
		"cut":              {chunked[:6], "3", "IncompleteBody"},
		"no chunks":        {"abc", "3", "IncompleteBody"},
		"a broken trailer": {"3\r\nabc\r\n0\r\n:\r\n\r\n", "3", "MalformedTrailerError"},
	} {
		if status, message := upload(s, test.body, test.length); status != http.StatusBadRequest || !strings.Contains(message, test.code) {
			t.Errorf("%s: %d %s, want %s", name, status, message, test.code)
		}
	}
	if body, err := get(t.Context(), client, "key"); err != nil || body != "abc" {
		t.Errorf("stored %q, %v", body, err)
	}
}

func FuzzUploadInChunks(f *testing.F) {
	f.Add(chunked, "3")
	f.Add("3;chunk-signature=x\r\nabc\r\n0\r\n\r\n", "3")
	s, err := awslocal.NewMemoryS3(bucket)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body, length string) {
		if status, message := upload(s, body, length); status != http.StatusOK && status != http.StatusBadRequest {
			t.Errorf("%d %s", status, message)
		}
	})
}
