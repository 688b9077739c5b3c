package http1

// Follower reads along with the bytes of a client's connection, so that another
// HTTP server behind it is only ever shown messages that this grammar accepts.
// The zero Follower is at the start of a connection.
type Follower struct {
	Limits Limits
	// Check may refuse a head that the grammar accepts; nil refuses none.
	Check func(*Request) *Error

	request Request
	body    Framing // of the message whose body is coming; None between messages
	left    int64
	chunks  Chunks
}

// InBody reports whether the next byte belongs to a body.
func (f *Follower) InBody() bool { return f.body != None }

// Feed reports how many bytes from the start of buf may be shown: heads at once
// and whole, bodies as they come. The rest must be fed again with what follows
// it. The error, an [*Error], is about the first byte of buf.
func (f *Follower) Feed(buf []byte) (n int, err error) {
	for n < len(buf) {
		taken, err := f.feed(buf[n:])
		if err != nil && n == 0 {
			return 0, err
		}
		if err != nil || taken == 0 {
			break // what is before it is good; the error comes again
		}
		n += taken
	}
	return n, nil
}

func (f *Follower) feed(buf []byte) (int, error) {
	switch f.body {
	case Length:
		taken := int(min(f.left, int64(len(buf))))
		if f.left -= int64(taken); f.left == 0 {
			f.body = None
		}
		return taken, nil
	case Chunked:
		// A copy, so that the framing before a wrong byte stays unread with it.
		chunks := f.chunks
		_, taken, err := chunks.Next(buf)
		if err != nil {
			return 0, err
		}
		if f.chunks = chunks; chunks.Done() {
			f.body = None
		}
		return taken, nil
	}
	n, err := f.request.Parse(buf, f.Limits)
	if err != nil || n == 0 {
		return 0, err
	}
	if f.Check != nil {
		if refused := f.Check(&f.request); refused != nil {
			return 0, refused
		}
	}
	f.body, f.left, f.chunks = f.request.Body, f.request.Length, Chunks{}
	return n, nil
}
