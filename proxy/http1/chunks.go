package http1

// Chunks decodes a chunked body as its bytes arrive. The zero Chunks is at the start of a
// body. It refuses chunk extensions: no known client sends them, and servers have
// disagreed about where they end. It drops trailers, whatever their names are, and refuses
// those that are no fields.
type Chunks struct {
	state   chunkState
	digits  int
	left    int64 // of the current chunk's data
	skipped int   // bytes of trailers
}

type chunkState int

const (
	chunkSize chunkState = iota
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	chunkEnd         // at the start of a trailer, or of the empty line
	chunkTrailerName // behind its first byte
	chunkTrailerValue
	chunkTrailerLF
	chunkEndLF
	chunkDone
)

var errChunk = &Error{400, "the chunked body is malformed"}

// maxHexDigits keeps a chunk's size within an int64.
const maxHexDigits = 15

// maxTrailers bounds the bytes of trailers. With the empty line behind them they must fit
// into the buffer of net/http, which has 4096 bytes.
const maxTrailers = 4094

// Done reports whether the body is complete.
func (c *Chunks) Done() bool { return c.state == chunkDone }

// Left returns the bytes of the current chunk's data that are still to come.
func (c *Chunks) Left() int64 {
	if c.state != chunkData {
		return 0 // the size may be incomplete
	}
	return c.left
}

// Next reads buf up to the end of the first run of data, of the body, or of buf,
// whichever comes first. It returns the data as a view, and the number of bytes read,
// which includes the framing. The error is an [*Error].
func (c *Chunks) Next(buf []byte) (data []byte, n int, err error) {
	for n < len(buf) && c.state != chunkDone {
		if c.state == chunkData {
			take := int(min(c.left, int64(len(buf)-n)))
			data = buf[n : n+take]
			c.left -= int64(take)
			if c.left == 0 {
				c.state = chunkDataCR
			}
			return data, n + take, nil
		}
		if !c.step(buf[n]) {
			return nil, n, errChunk
		}
		n++
	}
	return nil, n, nil
}

// step reads one byte of framing.
func (c *Chunks) step(b byte) bool {
	switch c.state {
	case chunkSize:
		if b == '\r' && c.digits > 0 {
			c.state = chunkSizeLF
			return true
		}
		digit := unhex(b)
		if digit < 0 || c.digits == maxHexDigits {
			return false
		}
		c.left, c.digits = c.left<<4|int64(digit), c.digits+1
		return true
	case chunkSizeLF:
		c.state, c.digits = chunkData, 0
		if c.left == 0 {
			c.state = chunkEnd
		}
		return b == '\n'
	case chunkDataCR:
		c.state = chunkDataLF
		return b == '\r'
	case chunkDataLF:
		c.state = chunkSize
		return b == '\n'
	case chunkEnd:
		if b == '\r' {
			c.state = chunkEndLF
			return true
		}
		c.state = chunkTrailerName
		return tokenBytes[b] && c.countTrailer()
	case chunkTrailerName:
		if b == ':' {
			c.state = chunkTrailerValue
			return c.countTrailer()
		}
		return tokenBytes[b] && c.countTrailer()
	case chunkTrailerValue:
		if b == '\r' {
			c.state = chunkTrailerLF
			return c.countTrailer()
		}
		return !isControl(b) && c.countTrailer()
	case chunkTrailerLF:
		c.state = chunkEnd
		return b == '\n' && c.countTrailer()
	case chunkEndLF:
		c.state = chunkDone
		return b == '\n'
	}
	panic("BUG: a byte of framing within or after the data")
}

// countTrailer reports whether there may be one more byte of trailers.
func (c *Chunks) countTrailer() bool {
	c.skipped++
	return c.skipped <= maxTrailers
}

func unhex(b byte) int {
	switch {
	case isDigit(b):
		return int(b - '0')
	case 'a' <= b && b <= 'f':
		return int(b-'a') + 10
	case 'A' <= b && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}
