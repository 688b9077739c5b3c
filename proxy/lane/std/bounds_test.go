package std

import (
	"testing"
	"time"
)

func TestTheBoundsOfTheStandardLane(t *testing.T) {
	for name, c := range map[string]struct{ got, want int }{
		"the bytes of an open stream":                                    {StreamBytes, 24 << 10},
		"the bytes of a connection that no handler has read":             {receiveWindow, 64<<10 - 1},
		"the bytes of a head that a stream contains":                     {smallHead, 4 << 10},
		"the copies of a longer target":                                  {headCopies, 4},
		"the streams of a connection":                                    {maxStreams, 100},
		"the bytes of a frame":                                           {maxFrame, 16 << 10},
		"the frames to be answered while a write waits":                  {maxOwed, 256},
		"the bytes of a body that need no memory of the pool":            {smallBody, 4 << 10},
		"the bytes of a body that is dropped":                            {maxDropped, 64 << 10},
		"the bytes of an answer that net/http copies":                    {maxCopied, 4 << 10},
		"the milliseconds for which a stream waits for its turn":         {int(streamPatience / time.Millisecond), 2000},
		"the milliseconds for which a body waits for memory":             {int(bodyPatience / time.Millisecond), 2000},
		"the milliseconds that the client of a refused stream has":       {int(refusalPatience / time.Millisecond), 1000},
		"the milliseconds for which a connection that ends is read":      {int(lastFrame / time.Millisecond), 100},
		"the milliseconds without progress after which a stream is slow": {int(slowAfter / time.Millisecond), 200},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %d, want %d", name, c.got, c.want)
		}
	}
}
