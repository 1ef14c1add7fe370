package render

// MaxSent bounds an answer in bytes, as it is sent: a Lambda function may answer 6 MB, of a JSON document that has the answer as a string.
const MaxSent = 5_500_000

// LeastRoom is the least room that a text of a listing has, in characters.
const LeastRoom = 16

// ListingRooms are the rooms for the texts of a listing, in characters, from the most to the least.
func ListingRooms() []int { return []int{5000, 1000, 200, LeastRoom} }

// Fit writes with the first of the rooms, in characters, with which the result is at most MaxSent as sent; with the last whatever its size is. The
// rooms go from the most to the least. write may give nil for what is too large, but not for the last of them. The only errors are those of write.
func Fit(write func(room int) ([]byte, error), rooms ...int) ([]byte, error) {
	last := len(rooms) - 1
	for _, room := range rooms[:last] {
		b, err := write(room)
		if err != nil || b != nil && sentSize(b) <= MaxSent {
			return b, err
		}
	}
	return write(rooms[last])
}

// sentSize is the length of b as a JSON string, with only those escapes that must be.
func sentSize(b []byte) int {
	n := len(b)
	for _, c := range b {
		switch {
		case c == '"', c == '\\', c == '\n', c == '\r', c == '\t':
			n++
		case c < ' ':
			n += 5
		}
	}
	return n
}
