package render

// MaxSent is the maximum size of a response in bytes, as a JSON string. Lambda allows 6 MB for the JSON document that contains the response.
const MaxSent = 5_500_000

// MinTextLimit is the smallest limit for a text of a listing, in characters.
const MinTextLimit = 16

// TextLimits returns the limits for the texts of a listing, in characters, largest first.
func TextLimits() []int { return []int{5000, 1000, 200, MinTextLimit} }

// Fit calls write with one limit after the other, and returns the first result that is at most [MaxSent] as sent. It returns the result for the last
// limit whatever its size. The limits must be sorted, largest first. write may return nil if the result would be too large, except for the last
// limit. Fit returns only errors of write.
func Fit(write func(limit int) ([]byte, error), limits ...int) ([]byte, error) {
	last := len(limits) - 1
	for _, limit := range limits[:last] {
		b, err := write(limit)
		if err != nil || b != nil && SentSize(b) <= MaxSent {
			return b, err
		}
	}
	return write(limits[last])
}

// SentSize returns the length of b as a JSON string that escapes only the characters that JSON requires.
func SentSize(b []byte) int {
	var escaped [256]uint8 // by how many bytes an escape is longer
	for c := range byte(' ') {
		escaped[c] = 5
	}
	for _, c := range "\"\\\n\r\t" {
		escaped[c] = 1
	}
	n := len(b)
	for _, c := range b {
		n += int(escaped[c])
	}
	return n
}
