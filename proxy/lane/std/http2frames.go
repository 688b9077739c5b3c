package std

import (
	"errors"
	"net"
)

// http2Frames follows what a client sends on HTTP/2, only as far as is needed to know
// whether it has begun something that it has not finished. net/http checks the frames.
type http2Frames struct {
	preface int     // bytes of the preface that have arrived
	head    [9]byte // of the current frame
	have    int     // bytes of head that have arrived
	left    int     // bytes of the frame's payload that have not arrived
	inBlock bool    // a header block has begun and not ended; it can have several frames
	asked   bool    // a whole header block has arrived
	begun   int     // how many frames, with their header blocks, have begun
}

const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// The types and flags of RFC 9113, section 6.
const (
	frameData         = 0
	frameHeaders      = 1
	frameContinuation = 9
	flagEndHeaders    = 4
)

// errNoPreface has the type of a failed read: net/http must not answer it in HTTP/1.
var errNoPreface = &net.OpError{Op: "read", Err: errors.New("the client does not begin with the preface of HTTP/2")}

// feed follows bytes that have arrived. It returns an error if the preface is wrong. The
// bytes must then not be passed on, because net/http would take them for HTTP/1.
func (f *http2Frames) feed(p []byte) error {
	for len(p) > 0 {
		switch {
		case f.preface < len(http2Preface):
			n := min(len(p), len(http2Preface)-f.preface)
			if string(p[:n]) != http2Preface[f.preface:f.preface+n] {
				return errNoPreface
			}
			f.preface += n
			p = p[n:]
		case f.have < len(f.head):
			if f.have == 0 && !f.inBlock {
				f.begun++
			}
			n := copy(f.head[f.have:], p)
			f.have += n
			p = p[n:]
			if f.have == len(f.head) {
				f.left = f.length()
				f.endFrame()
			}
		default:
			n := min(len(p), f.left)
			f.left -= n
			p = p[n:]
			f.endFrame()
		}
	}
	return nil
}

// length returns the length of the current frame's payload.
func (f *http2Frames) length() int { return int(f.head[0])<<16 | int(f.head[1])<<8 | int(f.head[2]) }

// endFrame ends the current frame if its payload is complete.
func (f *http2Frames) endFrame() {
	if f.left > 0 {
		return
	}
	f.have = 0
	if kind := f.head[3]; kind == frameHeaders || kind == frameContinuation {
		f.inBlock = f.head[4]&flagEndHeaders == 0
		f.asked = f.asked || !f.inBlock
	}
}

// between reports whether everything that was begun is complete.
func (f *http2Frames) between() bool { return f.have == 0 && !f.inBlock }

// inData reports whether the current frame belongs to a body.
func (f *http2Frames) inData() bool { return f.have == len(f.head) && f.head[3] == frameData }
