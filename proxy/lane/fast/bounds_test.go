package fast

import "testing"

func TestTheBoundsOfTheFastLane(t *testing.T) {
	for name, c := range map[string]struct{ got, want int }{
		"the bytes of a body":                                   {maxPlainBody, 16 << 10},
		"the bytes of an event that a hub writes":               {maxHubWrite, 4 << 10},
		"the part of a timeout that a deadline may come early":  {deadlineSlack, 8},
		"the bytes of a connection that waits":                  {firstBytes, 512},
		"the bytes of requests that a connection starts with":   {inSize, 8 << 10},
		"the bytes of an answer that a connection has room for": {outSize, 16 << 10},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %d, want %d", name, c.got, c.want)
		}
	}
}
