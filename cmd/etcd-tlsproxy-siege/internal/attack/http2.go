package attack

import (
	"bytes"
	"fmt"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// wideWindow is a window that no answer fills; noWindow lets the server send no byte of a
// body.
const (
	wideWindow = 64 << 20
	noWindow   = 0
)

// preface returns what a client of HTTP/2 sends first: the settings say how many bytes of a
// body the server may send on each stream.
func preface(window uint32) []byte {
	var b bytes.Buffer
	b.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&b, nil)
	_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}) // to memory
	if window > 65535 {
		_ = f.WriteWindowUpdate(0, window-65535)
	}
	return b.Bytes()
}

// encoder encodes the requests of one connection of HTTP/2. It uses no dynamic table, so that
// requests can be sent in any order.
type encoder struct {
	fields bytes.Buffer
	hpack  *hpack.Encoder
}

func newEncoder() *encoder {
	e := &encoder{}
	e.hpack = hpack.NewEncoder(&e.fields)
	e.hpack.SetMaxDynamicTableSize(0)
	return e
}

// block returns the header of a request.
func (e *encoder) block(r *request) []byte {
	e.fields.Reset()
	field := func(name, value string) { _ = e.hpack.WriteField(hpack.HeaderField{Name: name, Value: value}) }
	field(":method", r.method)
	field(":scheme", "https")
	field(":authority", "localhost")
	field(":path", r.target)
	if r.authorization != "" {
		field("authorization", r.authorization)
	}
	if n := max(r.announced, len(r.body)); n > 0 {
		field("content-type", form)
		field("content-length", fmt.Sprint(n))
	}
	return e.fields.Bytes()
}

// maxFrame is the largest frame that every server must accept.
const maxFrame = 16 << 10

// request returns the frames of a request on a stream. If more is announced than the body
// has, the stream stays open for the rest.
func (e *encoder) request(stream uint32, r *request) []byte {
	var b bytes.Buffer
	f := http2.NewFramer(&b, nil)
	block := e.block(r)
	first := block[:min(len(block), maxFrame)]
	unfinished := r.announced > len(r.body)
	_ = f.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: first, EndHeaders: len(first) == len(block), EndStream: r.body == "" && !unfinished,
	})
	for rest := block[len(first):]; len(rest) > 0; {
		part := rest[:min(len(rest), maxFrame)]
		rest = rest[len(part):]
		_ = f.WriteContinuation(stream, len(rest) == 0, part)
	}
	for rest := r.body; rest != ""; {
		part := rest[:min(len(rest), maxFrame)]
		rest = rest[len(part):]
		_ = f.WriteData(stream, rest == "" && !unfinished, []byte(part))
	}
	return b.Bytes()
}

// h2 is the client's end of a connection of HTTP/2. It acknowledges settings and answers
// PINGs, as every client does.
type h2 struct {
	conn    *conn
	framer  *http2.Framer
	encoder *encoder
	next    uint32 // the next stream
	// taken is what was read of bodies since the server was told. It is told only if the
	// window is wide.
	taken uint32
	wide  bool

	mu sync.Mutex // guards writing
}

func newH2(k *conn) *h2 {
	h := &h2{conn: k, encoder: newEncoder(), next: 1}
	h.framer = http2.NewFramer(k, k)
	h.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	h.framer.SetReuseFrames()
	return h
}

// begin sends the preface of a client that takes all answers.
func (h *h2) begin() error {
	h.wide = true
	return h.write(preface(wideWindow))
}

func (h *h2) write(data []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.conn.Write(data)
	return err
}

// send sends a request on a new stream.
func (h *h2) send(r *request) (stream uint32, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	stream = h.next
	h.next += 2
	_, err = h.conn.Write(h.encoder.request(stream, r))
	return stream, err
}

// frame reads the next frame, and answers it if the protocol wants that.
func (h *h2) frame() (http2.Frame, error) {
	frame, err := h.framer.ReadFrame()
	if err != nil {
		return nil, err
	}
	var reply bytes.Buffer
	f := http2.NewFramer(&reply, nil)
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			_ = f.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			_ = f.WritePing(true, frame.Data)
		}
	case *http2.MetaHeadersFrame:
		h.conn.crew.answers.Add(1)
	case *http2.DataFrame:
		h.conn.crew.bytes.Add(int64(len(frame.Data())))
		if h.taken += frame.Length; h.wide && h.taken > wideWindow/2 {
			_ = f.WriteWindowUpdate(0, h.taken)
			h.taken = 0
		}
	case *http2.RSTStreamFrame:
		h.conn.crew.resets.Add(1)
	}
	if reply.Len() == 0 {
		return frame, nil
	}
	return frame, h.write(reply.Bytes())
}

// ask sends a request and reads its answer.
func (h *h2) ask(r *request) (*answer, error) {
	stream, err := h.send(r)
	if err != nil {
		return nil, err
	}
	a := &answer{}
	for {
		frame, err := h.frame()
		if err != nil {
			return nil, err
		}
		ended := false
		switch frame := frame.(type) {
		case *http2.GoAwayFrame:
			return nil, errClosing
		case *http2.RSTStreamFrame:
			if frame.StreamID == stream {
				return nil, fmt.Errorf("the server reset the stream: %v", frame.ErrCode)
			}
		case *http2.MetaHeadersFrame:
			if frame.StreamID == stream {
				if _, err := fmt.Sscan(frame.PseudoValue("status"), &a.status); err != nil {
					return nil, fmt.Errorf("reading a status: %w", err)
				}
				for _, field := range frame.RegularFields() {
					if field.Name == "x-etcd-index" {
						a.index = field.Value
					}
				}
				ended = frame.StreamEnded()
			}
		case *http2.DataFrame:
			if frame.StreamID == stream {
				a.body = append(a.body, frame.Data()...)
				ended = frame.StreamEnded()
			}
		}
		if ended {
			return a, nil
		}
	}
}
