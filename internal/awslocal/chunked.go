package awslocal

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strconv"
)

// checksumTrailer is the checksum that the SDKs send by default.
const checksumTrailer = "x-amz-checksum-crc32"

// decodeChunked replaces the body of an upload in aws-chunked encoding by its content, because gofakes3 would store the encoding as part
// of the object. The SDKs use this encoding over TLS: the chunks have no signatures, and the checksum follows in a trailer. The format of
// the chunks is that of HTTP. Like S3, it refuses a body with a wrong length or checksum.
func decodeChunked(r *http.Request) *Error {
	if r.Header.Get("X-Amz-Content-Sha256") != "STREAMING-UNSIGNED-PAYLOAD-TRAILER" {
		return nil
	}
	if trailer := r.Header.Get("X-Amz-Trailer"); trailer != checksumTrailer {
		return BadRequest("InvalidRequest", "The embedded S3 supports only the trailer %s, not %q.", checksumTrailer, trailer)
	}
	encoded := bufio.NewReader(r.Body)
	body, err := io.ReadAll(httputil.NewChunkedReader(encoded))
	if err != nil {
		return BadRequest("IncompleteBody", "The chunks can't be read: %v", err)
	}
	trailers, err := textproto.NewReader(encoded).ReadMIMEHeader()
	if err != nil && !errors.Is(err, io.EOF) {
		return BadRequest("MalformedTrailerError", "The trailer can't be read: %v", err)
	}
	if r.Header.Get("X-Amz-Decoded-Content-Length") != strconv.Itoa(len(body)) {
		return BadRequest("IncompleteBody", "The body has %d bytes.", len(body))
	}
	if trailers.Get(checksumTrailer) != crc32Of(body) {
		return BadRequest("BadDigest", "The CRC32 you specified did not match the calculated checksum.")
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	for _, name := range []string{"Content-Encoding", "X-Amz-Trailer", "X-Amz-Decoded-Content-Length"} {
		r.Header.Del(name)
	}
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	return nil
}

// crc32Of returns the checksum of an object as S3 writes it.
func crc32Of(body []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body)))
}
