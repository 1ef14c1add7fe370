package s3store

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json" // encoding/json needs three times as long to decode a record
	"github.com/go-json-experiment/json/jsontext"
)

// Format is the latest version of the storage format. The first line of each object contains its version. Objects with a
// later version are neither decoded nor replaced.
const Format = packsFormat

// packsFormat is the version of records that reference packs.
const packsFormat = 2

const magic = "ecr-continuous-scan record "

// Maximum size of a stored object in bytes: compressed and uncompressed.
const (
	maxStored   = 32 << 20
	maxUnpacked = 128 << 20
)

// errBroken means that an object is not a valid record or history. errNewer means that it has a later format.
var (
	errBroken = errors.New("not a valid record")
	errNewer  = errors.New("written by a later version of this service")
)

// packer writes stored objects. Its gzip writers are reused, because each allocates almost 1 MiB.
type packer struct{ gzipWriters sync.Pool }

// pack returns the stored form of a value: a header line with the format, then the JSON, compressed with gzip. It fails if
// the result exceeds the size that unpack accepts.
func (p *packer) pack(format int, v any) ([]byte, error) {
	var b bytes.Buffer
	zip, isUsed := p.gzipWriters.Get().(*gzip.Writer)
	if !isUsed {
		zip = gzip.NewWriter(nil)
	}
	defer p.gzipWriters.Put(zip)
	zip.Reset(&b)
	if _, err := fmt.Fprintf(zip, "%s%d\n", magic, format); err != nil {
		return nil, err
	}
	text := counter{zip, 0} // the text of a large record needs too much memory to be kept
	if err := json.MarshalWrite(&text, v, json.OmitZeroStructFields(true), json.Deterministic(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	if text.n > maxUnpacked || b.Len() > maxStored {
		return nil, fmt.Errorf("too large: %d bytes, %d bytes uncompressed", b.Len(), text.n)
	}
	return b.Bytes(), nil
}

// counter counts the bytes that are written.
type counter struct {
	io.Writer
	n int
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	c.n += len(p)
	return c.Writer.Write(p)
}

// unpack decodes the result of pack. Errors: errNewer, errBroken.
func unpack(stored []byte, v any) error { return new(unpacker).unpack(maxUnpacked, stored, v) }

// unpacker decodes stored objects, one after the other. Reusing it saves the 40 KiB that a new gzip reader needs.
type unpacker struct {
	zip   gzip.Reader
	lines *bufio.Reader
}

// unpack decodes the result of packer.pack. The maximum of the uncompressed size is in bytes. Errors: errNewer, errBroken.
func (u *unpacker) unpack(maxUnpacked int64, stored []byte, v any) error {
	if len(stored) > maxStored {
		return fmt.Errorf("%w: larger than %d bytes", errBroken, maxStored)
	}
	if err := u.zip.Reset(bytes.NewReader(stored)); err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	if u.lines == nil {
		u.lines = bufio.NewReader(&u.zip)
	}
	u.lines.Reset(&u.zip)
	line, err := u.lines.ReadSlice('\n') // fails if the first line exceeds the buffer, so a foreign object is not read completely
	if err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	number, ours := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), magic)
	format, err := strconv.Atoi(number)
	switch {
	case !ours || err != nil || format < 1:
		return errBroken
	case format > Format:
		return fmt.Errorf("%w: format %d", errNewer, format)
	}
	text := io.LimitedReader{R: u.lines, N: maxUnpacked + 1}
	err = json.UnmarshalRead(&text, v, jsontext.AllowInvalidUTF8(true))
	switch {
	case text.N == 0:
		return fmt.Errorf("%w: larger than %d bytes uncompressed", errBroken, maxUnpacked)
	case err != nil:
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return nil
}
