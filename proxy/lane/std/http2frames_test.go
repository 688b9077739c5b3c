package std

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"golang.org/x/net/http2"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
)

func TestFramesAreFollowedInPiecesOfAnySize(t *testing.T) {
	var sent bytes.Buffer
	framer := http2.NewFramer(&sent, nil)
	sent.WriteString(http2.ClientPreface)
	type state struct {
		asked, between bool
		begun          int
	}
	want := map[int]state{sent.Len(): {between: true}} // by the bytes that have arrived
	write := func(err error, s state) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		want[sent.Len()-1] = state{} // the last byte is missing
		want[sent.Len()] = s
	}
	write(framer.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 14}), state{between: true, begun: 1})
	write(framer.WriteSettingsAck(), state{between: true, begun: 2}) // a frame without a payload
	write(framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("abc")}), state{begun: 3})
	write(framer.WriteContinuation(1, false, nil), state{begun: 3})
	write(framer.WriteContinuation(1, true, []byte("def")), state{asked: true, between: true, begun: 3})
	write(framer.WriteData(1, true, make([]byte, 1<<14)), state{asked: true, between: true, begun: 4})
	write(framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, EndHeaders: true}), state{asked: true, between: true, begun: 5})
	for _, size := range []int{1, 2, 7, 24, 1000, sent.Len()} {
		var f http2Frames
		for at, rest := 0, sent.Bytes(); len(rest) > 0; {
			piece := rest[:min(size, len(rest))]
			rest = rest[len(piece):]
			if err := f.all(piece); err != nil {
				t.Fatal(err)
			}
			at += len(piece)
			if s, known := want[at]; known && (f.between() != s.between || s.between && (f.asked != s.asked || f.begun != s.begun)) {
				t.Errorf("in pieces of %d, after %d bytes: got between %v, asked %v, begun %d; want %+v", size, at, f.between(), f.asked, f.begun, s)
			}
		}
		if !f.asked || !f.between() || f.begun != 5 {
			t.Errorf("in pieces of %d, at the end: got %+v, want 5 frames, all complete", size, f)
		}
	}
}

func TestWhatIsNotThePrefaceOfHTTP2IsNotPassedOn(t *testing.T) {
	for _, sent := range []string{"G", "GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX", "PRI * HTTP/1.1\r\n"} {
		var f http2Frames
		err := error(nil)
		for i := range len(sent) {
			if err == nil {
				err = f.all([]byte{sent[i]})
			}
		}
		if err == nil {
			t.Errorf("after %q: got no error, want one", sent)
		}
	}
}

// all follows all bytes of a piece.
func (f *http2Frames) all(p []byte) error {
	for len(p) > 0 {
		n, _, err := f.next(p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// TestAClientThatTakesNoAnswersMayAskForFew sends frames of each kind while a write waits for the
// client.
func TestAClientThatTakesNoAnswersMayAskForFew(t *testing.T) {
	const open, closed = 1, 3
	type kind struct {
		what     string
		answered bool
		write    func(f *http2.Framer) error
	}
	for _, k := range []kind{
		{"PINGs", true, func(f *http2.Framer) error { return f.WritePing(false, [8]byte{}) }},
		{"answers to PINGs", false, func(f *http2.Framer) error { return f.WritePing(true, [8]byte{}) }},
		{"settings", true, func(f *http2.Framer) error { return f.WriteSettings() }},
		{"answers to settings", false, func(f *http2.Framer) error { return f.WriteSettingsAck() }},
		{"frames of a body", true, func(f *http2.Framer) error { return f.WriteData(open, false, []byte("x")) }},
		{"frames of a stream that has ended", true, func(f *http2.Framer) error { return f.WriteData(closed, false, nil) }},
		{"windows of the connection", false, func(f *http2.Framer) error { return f.WriteWindowUpdate(0, 1) }},
		{"windows of a stream", false, func(f *http2.Framer) error { return f.WriteWindowUpdate(open, 1) }},
		{"windows of a stream that has ended", true, func(f *http2.Framer) error { return f.WriteWindowUpdate(closed, 1) }},
		{"priorities", true, func(f *http2.Framer) error { return f.WritePriority(closed, http2.PriorityParam{Weight: 1}) }},
	} {
		c := &http2Conn{streams: &streams{open: []openStream{{id: open}}}}
		c.frames.preface = len(http2Preface)
		send := func(frames int) error {
			var sent bytes.Buffer
			framer := http2.NewFramer(&sent, nil)
			for range frames {
				if err := k.write(framer); err != nil {
					t.Fatal(err)
				}
			}
			_, err := c.follow(sent.Bytes())
			return err
		}
		if err := send(2 * maxOwed); err != nil {
			t.Errorf("%s of a client that takes all answers: got the error %v, want none", k.what, err)
		}
		for write := range int64(3) {
			c.writing.Store(1 + write)
			if err := send(maxOwed); err != nil {
				t.Errorf("%d %s while write %d waits: got the error %v, want none", maxOwed, k.what, write, err)
			}
		}
		if err := send(1); errors.Is(err, errFlood) != k.answered || err != nil && !k.answered {
			t.Errorf("%d %s while a write waits: got the error %v, want one: %t", maxOwed+1, k.what, err, k.answered)
		}
	}
}

// TestAFloodOfFramesLetsOthersHaveTheProcessor reads frames that have all arrived, on one processor.
func TestAFloodOfFramesLetsOthersHaveTheProcessor(t *testing.T) {
	const frames = 1000
	var sent bytes.Buffer
	framer := http2.NewFramer(&sent, nil)
	for range frames {
		if err := framer.WritePing(false, [8]byte{}); err != nil {
			t.Fatal(err)
		}
	}
	c := &http2Conn{streams: &streams{}, limits: func() *lane.Limits { return &lane.Limits{} }, held: sent.Bytes()}
	c.frames.preface = len(http2Preface)
	turns := proxytest.CountTurns(t)
	for range frames {
		for _, part := range []int{9, 8} { // the head, and the payload
			if _, err := c.Read(make([]byte, part)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if least := int64(2 * frames / lane.LongestRun / 2); turns() < least {
		t.Errorf("while %d frames were read: got %d turns of another goroutine, want at least %d", frames, turns(), least)
	}
}

func TestTheHeadOfAFrameIsReadAsRFC9113SaysIt(t *testing.T) {
	var f frameHeads
	if n := f.next([]byte("\x01\x02\x03\x01\x05\x84\x05\x06\x07more")); n != 9 || !f.complete() {
		t.Fatalf("got %d bytes followed, want the 9 of the head", n)
	}
	if f.left != 0x010203 || f.kind() != frameHeaders || !f.has(flagEndStream) || f.stream() != 0x04050607 {
		t.Errorf("got the length %#x, the kind %d, the end of the stream %t and the stream %#x", f.left, f.kind(), f.has(flagEndStream), f.stream())
	}
}

// TestStreamsAreCountedInPiecesOfAnySize begins three streams, and resets the first.
func TestStreamsAreCountedInPiecesOfAnySize(t *testing.T) {
	const text = http2Preface +
		"\x00\x00\x02\x01\x05\x00\x00\x00\x01xy" + // HEADERS of the stream 1
		"\x00\x00\x00\x01\x04\x00\x00\x03\x01" + // of 0x301, with a body
		"\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08" + // RST_STREAM of 1
		"\x00\x00\x01\x00\x00\x00\x00\x03\x01v" + // DATA of 0x301
		"\x00\x00\x00\x01\x05\x00\x00\x05\x03" // HEADERS of 0x503
	for size := 1; size <= len(text); size++ {
		c := &http2Conn{streams: newStreams(nil, nil)}
		for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
			piece := rest[:min(size, len(rest))]
			if n, err := c.follow([]byte(piece)); n != len(piece) || err != nil {
				t.Fatalf("in pieces of %d bytes: got %d of them and the error %v", size, n, err)
			}
		}
		if got := c.streams.open; !slices.Equal(got, []openStream{{0x301, true}, {0x503, false}}) {
			t.Errorf("in pieces of %d bytes: got the streams %v, want 0x301, which sends a body, and 0x503", size, got)
		}
	}
}
