package render

// maxSent bounds an answer in bytes, as it is sent: a Lambda function may answer 6 MB, of a JSON document that has the answer as a string.
const maxSent = 5_500_000

// leastRoom is the least room that a text of a listing has, in characters.
const leastRoom = 16

// listingRooms are the rooms for the texts of a listing, in characters.
func listingRooms() []int { return []int{5000, 1000, 200, leastRoom} }

// fit writes with as much room as what is written may have to be sent. write may give nil for what has too much, but for the last of the rooms.
func fit(write func(room int) ([]byte, error), rooms ...int) ([]byte, error) {
	last := len(rooms) - 1
	for _, room := range rooms[:last] {
		b, err := write(room)
		if err != nil || b != nil && sentSize(b) <= maxSent {
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
