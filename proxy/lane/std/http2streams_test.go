package std

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
)

// h2Client is a client of HTTP/2 that sends and receives frames.
type h2Client struct {
	t *testing.T
	*tls.Conn
	*http2.Framer
}

// http2 connects a client whose streams have a window.
func (r *rig) http2(window uint32) *h2Client {
	r.t.Helper()
	c, err := tls.Dial("tcp", r.ln.Addr().String(), &tls.Config{RootCAs: r.pki.Pool(), ServerName: "localhost", NextProtos: []string{"h2"}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	h := &h2Client{t: r.t, Conn: c, Framer: http2.NewFramer(c, c)}
	h.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	h.must(c.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(c, http2.ClientPreface)
	h.must(err)
	h.must(h.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}))
	return h
}

func (h *h2Client) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// ask begins a stream with a request for /version.
func (h *h2Client) ask(stream uint32) {
	h.t.Helper()
	h.must(h.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: versionHead, EndStream: true, EndHeaders: true}))
}

// versionHead is a header block in the terms of the static table: :method GET, :scheme https,
// :path /version, :authority h.
var versionHead = []byte("\x82\x87\x04\x08/version\x01\x01h")

// until reads frames until one of the kind.
func until[F http2.Frame](h *h2Client) F {
	h.t.Helper()
	for {
		frame, err := h.ReadFrame()
		if err != nil {
			h.t.Fatalf("waiting for a %T: %v", *new(F), err)
		}
		if f, ok := frame.(F); ok {
			return f
		}
	}
}

func TestAClientOfHTTP2CannotMakeTheProxyHoldLargeFramesOrBodies(t *testing.T) {
	t.Parallel()
	h := newRig(t, func(*rig) {}).http2(0)
	settings := until[*http2.SettingsFrame](h)
	if frame, ok := settings.Value(http2.SettingMaxFrameSize); ok && frame != maxFrame {
		t.Errorf("the largest frame: got %d, want %d", frame, maxFrame)
	}
	if window, ok := settings.Value(http2.SettingInitialWindowSize); ok && window > receiveWindow {
		t.Errorf("the window of a stream: got %d, want at most %d", window, receiveWindow)
	}
	// The head of a frame alone must not make the proxy wait for the rest with a buffer.
	_, err := h.Conn.Write([]byte{0, maxFrame >> 8, 1, 0xff, 0, 0, 0, 0, 0})
	h.must(err)
	for {
		frame, err := h.ReadFrame()
		h.must(err)
		switch frame := frame.(type) {
		case *http2.WindowUpdateFrame:
			t.Errorf("the window of the connection: got %d bytes more than the smallest", frame.Increment)
		case *http2.GoAwayFrame:
			if frame.ErrCode != http2.ErrCodeFrameSize {
				t.Errorf("after the head of a larger frame: got %v, want %v", frame.ErrCode, http2.ErrCodeFrameSize)
			}
			return
		}
	}
}

// TestAClientThatDoesNotSpeakHTTP2AsItSaidIsEndedWithoutAnAnswer has a time limit of a minute for the
// first request.
func TestAClientThatDoesNotSpeakHTTP2AsItSaidIsEndedWithoutAnAnswer(t *testing.T) {
	r := newRig(t, func(*rig) {})
	c, err := tls.Dial("tcp", r.ln.Addr().String(), &tls.Config{RootCAs: r.pki.Pool(), ServerName: "localhost", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, readRequest); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); len(got) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q and the error %v, want the end", got, err)
	}
}

// TestAStreamWithoutMemoryIsRefusedAndItsConnectionStays fills the memory with streams whose
// answers are not taken.
func TestAStreamWithoutMemoryIsRefusedAndItsConnectionStays(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(*rig) {})
	r.memory.Resize(3*streamUnits, 0)
	h := r.http2(0)
	for i := range uint32(3) {
		h.ask(2*i + 1)
		until[*http2.MetaHeadersFrame](h)
	}
	h.ask(7)
	h.ask(9)
	for _, stream := range []uint32{7, 9} {
		head := until[*http2.MetaHeadersFrame](h)
		if head.StreamID != stream || head.PseudoValue("status") != "503" {
			t.Errorf("a stream without memory: got stream %d answered with status %s, want %d with 503", head.StreamID, head.PseudoValue("status"), stream)
		}
		// Its client does not take the body either.
		if reset := until[*http2.RSTStreamFrame](h); reset.StreamID != stream {
			t.Errorf("got stream %d reset, want %d", reset.StreamID, stream)
		}
		if used := r.memory.Used(); used != 3*streamUnits {
			t.Errorf("with stream %d refused: got %d units charged, want %d", stream, used, 3*streamUnits)
		}
	}
	h.must(h.WriteRSTStream(1, http2.ErrCodeCancel))
	h.ask(11)
	if head := until[*http2.MetaHeadersFrame](h); head.StreamID != 11 || head.PseudoValue("status") != "200" {
		t.Errorf("a stream after another one has ended: got stream %d answered with status %s, want 11 with 200", head.StreamID, head.PseudoValue("status"))
	}
}

// TestWhatAClientHasSentBeforeItLeftDoesNotReachEtcdLater lets many requests wait for memory.
func TestWhatAClientHasSentBeforeItLeftDoesNotReachEtcdLater(t *testing.T) {
	asked := make(chan struct{}, 100)
	r := newRigBefore(t, func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		_, _ = io.WriteString(w, "value")
	}, func(*rig) {})
	r.memory.Resize(streamUnits, 0)
	first, second := r.http2(0), r.http2(0)
	first.ask(1)
	<-asked
	for i := range uint32(50) {
		second.ask(2*i + 1)
	}
	for r.memory.Status().Waiting == 0 {
		time.Sleep(time.Millisecond) //nolint:forbidigo // nothing signals that a stream waits
	}
	second.Close()
	first.Close()
	if err := r.conns.Wait(t.Context(), lane.Standard); err != nil {
		t.Fatal(err)
	}
	if n := len(asked); n > 0 {
		t.Errorf("%d requests of a client that has left reached etcd, want none", n)
	}
}

// TestAStalledStreamIsTakenBackThoughAnotherOfItsConnectionIsBusy has a client whose streams
// take no answer, beside a stream that etcd works for.
func TestAStalledStreamIsTakenBackThoughAnotherOfItsConnectionIsBusy(t *testing.T) {
	const busy = 41
	answer := make(chan struct{})
	asked := make(chan struct{}, 1)
	r := newRigBefore(t, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/version" {
			asked <- struct{}{}
			<-answer
		}
		_, _ = io.WriteString(w, "value")
	}, func(*rig) {})
	r.memory.Resize(30*streamUnits, 0)
	h := r.http2(0)
	for i := range uint32(20) {
		h.ask(2*i + 1)
		until[*http2.MetaHeadersFrame](h)
	}
	h.must(h.WriteHeaders(http2.HeadersFrameParam{StreamID: busy, BlockFragment: []byte("\x82\x87\x04\x0a/v2/keys/a\x01\x01h"), EndStream: true, EndHeaders: true}))
	<-asked
	other := r.table.Address(netip.MustParseAddr("198.51.100.1")) // with it there is a share
	defer other.Close()
	if !r.memory.TryAcquire(other, 1, account.Ordinary) {
		t.Fatal("another client gets no memory")
	}
	defer r.memory.Release(other, 1, account.Ordinary)
	if n := r.reclaim(10 * streamUnits); n == 0 {
		t.Error("nothing was taken back, want stalled streams")
	}
	if reset := until[*http2.RSTStreamFrame](h); reset.StreamID == busy {
		t.Error("the stream that etcd works for was reset, want another one")
	}
	close(answer)
	for {
		if head := until[*http2.MetaHeadersFrame](h); head.StreamID == busy {
			return
		}
	}
}

// reclaim takes back streams until some are released.
func (r *rig) reclaim(units int64) (released int64) {
	for limit := time.Now().Add(time.Minute); released == 0 && time.Now().Before(limit); time.Sleep(10 * time.Millisecond) { //nolint:forbidigo // nothing signals that a stream is stalled
		released = r.memory.Reclaim(units)
	}
	return released
}
