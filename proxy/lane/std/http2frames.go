package std

import (
	"encoding/binary"
	"errors"
	"net"
)

// frameHeads follows the heads of the frames in a sequence of bytes.
type frameHeads struct {
	head [9]byte // of the current frame
	have int     // bytes of head that have passed
	left int     // bytes of the frame's payload that have not passed
}

// next follows bytes up to the end of the next head or payload. It returns the number of
// those bytes.
func (f *frameHeads) next(p []byte) (n int) {
	if f.have < len(f.head) {
		n = copy(f.head[f.have:], p)
		if f.have += n; f.have == len(f.head) {
			f.left = int(f.head[0])<<16 | int(f.head[1])<<8 | int(f.head[2])
		}
		return n
	}
	n = min(len(p), f.left)
	f.left -= n
	return n
}

// complete reports whether the whole head of the current frame has passed.
func (f *frameHeads) complete() bool { return f.have == len(f.head) }

// ends reports whether the frame is the last one that its sender has for the stream.
func (f *frameHeads) ends() bool {
	switch f.kind() {
	case frameData, frameHeaders:
		return f.has(flagEndStream)
	}
	return f.kind() == frameReset
}

// answerReads is how many reads each frame of an answer is worth. For a request of two frames and an
// answer of two, a client sends three more to widen windows and acknowledge settings, and each is read in
// two pieces.
const answerReads = 6

// answers reports whether the frame is part of an answer.
func (f *frameHeads) answers() bool { return f.kind() == frameData || f.kind() == frameHeaders }

func (f *frameHeads) kind() byte         { return f.head[3] }
func (f *frameHeads) has(flag byte) bool { return f.head[4]&flag != 0 }
func (f *frameHeads) stream() uint32     { return binary.BigEndian.Uint32(f.head[5:]) &^ (1 << 31) }

// The types and flags of RFC 9113, section 6.
const (
	frameData         = 0
	frameHeaders      = 1
	frameReset        = 3
	frameSettings     = 4
	framePing         = 6
	frameWindowUpdate = 8
	frameContinuation = 9
	flagEndStream     = 1
	flagAck           = 1
	flagEndHeaders    = 4
)

// http2Frames follows what a client sends on HTTP/2, only as far as is needed to know
// which streams it begins, and whether it has begun something that it has not finished.
// net/http checks the frames.
type http2Frames struct {
	frameHeads
	preface int    // bytes of the preface that have arrived
	inBlock bool   // a header block has begun and not ended; it can have several frames
	asked   bool   // a whole header block has arrived
	begun   int    // how many frames, with their header blocks, have begun
	last    uint32 // the last stream that was begun
}

const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// errNoPreface has the type of a failed read: net/http must not answer it in HTTP/1.
var errNoPreface = &net.OpError{Op: "read", Err: errors.New("the client does not begin with the preface of HTTP/2")}

// next follows bytes that have arrived, up to the end of the next head or payload. It returns
// the number of those bytes, and whether they end the head of a frame. It returns an error if
// the preface is wrong. The bytes must then not be passed on, because net/http would take them
// for HTTP/1.
func (f *http2Frames) next(p []byte) (n int, head bool, err error) {
	if f.preface < len(http2Preface) {
		n = min(len(p), len(http2Preface)-f.preface)
		if string(p[:n]) != http2Preface[f.preface:f.preface+n] {
			return 0, false, errNoPreface
		}
		f.preface += n
		return n, false, nil
	}
	if f.have == 0 && !f.inBlock {
		f.begun++
	}
	before := f.complete()
	n = f.frameHeads.next(p)
	head = f.complete() && !before
	if f.complete() && f.left == 0 {
		f.endFrame()
	}
	return n, head, nil
}

// endFrame ends the current frame.
func (f *http2Frames) endFrame() {
	f.have = 0
	if kind := f.kind(); kind == frameHeaders || kind == frameContinuation {
		f.inBlock = !f.has(flagEndHeaders)
		f.asked = f.asked || !f.inBlock
	}
}

// opens reports whether the head that has just passed begins a stream.
func (f *http2Frames) opens() bool {
	if f.kind() != frameHeaders || f.stream() <= f.last {
		return false
	}
	f.last = f.stream()
	return true
}

// between reports whether everything that was begun is complete.
func (f *http2Frames) between() bool { return f.have == 0 && !f.inBlock }

// inData reports whether the current frame belongs to a body.
func (f *http2Frames) inData() bool { return f.complete() && f.kind() == frameData }

// maxOwed is how many frames that net/http may answer are received while one write waits for the
// client. net/http queues up to 10,000 answers, which are hundreds of kilobytes for each
// connection. A client that takes what it is sent gets all of them between two writes.
const maxOwed = 256

// errFlood ends a connection whose client asks for answers and takes none.
var errFlood = errors.New("the client sends many frames to be answered, and takes no answer")

// owed counts the frames to be answered since a write began that still waits for the client.
// Without such a write, net/http has sent all answers, or is about to.
type owed struct {
	write  int64 // when the write began
	frames int
}

// exceeded counts a frame to be answered, and reports whether that is one too many. write is when
// the write under way began.
func (o *owed) exceeded(write int64) bool {
	if write != o.write {
		*o = owed{write: write}
	}
	o.frames++
	return o.frames > maxOwed
}

// answered reports whether net/http may answer the frame whose head has just passed. open is
// whether its stream is.
//
// A frame of a body is answered by a larger window. The windows bound what a client that has got
// no answer may send, so that these frames are fewer unless they are tiny.
func (f *http2Frames) answered(open bool) bool {
	switch f.kind() {
	case framePing, frameSettings:
		return !f.has(flagAck)
	case frameHeaders, frameReset, frameContinuation:
		return false // a stream is charged before it is answered
	case frameWindowUpdate:
		return f.stream() != 0 && !open
	}
	return true
}
