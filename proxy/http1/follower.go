package http1

// Follower parses the bytes of a client's connection before another HTTP server reads
// them, so that the server only sees messages that this grammar accepts. The zero Follower
// is at the start of a connection.
//
// It blanks the values of two fields, so that the server does not act on them: Expect,
// because the server would send a 100 Continue and close connections at its own
// discretion, and Trailer, because trailers are ignored and the server would refuse some
// names. An Expect field without a value means that the client expects a 100 Continue: this
// grammar accepts none from a client.
type Follower struct {
	Limits Limits
	// Check may refuse a head that the grammar accepts; nil refuses none.
	Check func(*Request) *Error

	request Request
	body    Framing // of the message whose body is being read; None between messages
	left    int64
	chunks  Chunks
}

// InBody reports whether the next byte belongs to a body.
func (f *Follower) InBody() bool { return f.body != None }

// Feed returns the number of bytes at the start of buf that may be passed on: a head only
// when it is complete, a body as it arrives, and the framing of a chunk only with the first
// byte of its data, or with all that ends the body. The rest must be fed again together with the
// bytes that follow. The error is an [*Error] and concerns the first byte of buf.
func (f *Follower) Feed(buf []byte) (n int, err error) {
	for n < len(buf) {
		taken, err := f.feed(buf[n:])
		if err != nil && n == 0 {
			return 0, err
		}
		if err != nil || taken == 0 {
			break // the bytes before it are good, and the next call returns the error
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
		// A copy, so that after an error the framing before the wrong byte is still unread.
		chunks := f.chunks
		data, taken, err := chunks.Next(buf)
		if err != nil {
			return 0, err
		}
		if len(data) == 0 && !chunks.Done() {
			return 0, nil // framing that turns out to be malformed must not be half passed on
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
	f.request.hide()
	f.body, f.left, f.chunks = f.request.Body, f.request.Length, Chunks{}
	return n, nil
}

// hide blanks the fields that the server must not act on.
func (r *Request) hide() {
	for i := range r.Fields {
		if f := &r.Fields[i]; equalFold(f.Name, "expect") || equalFold(f.Name, "trailer") {
			blank(f.Value)
			f.Value = ""
		}
	}
}
