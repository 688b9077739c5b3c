package transport

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// HTTP1 sends HTTP/1 byte by byte, on one connection. It connects when it has to.
type HTTP1 struct {
	Addr    string
	Config  *tls.Config
	Version string // 1.1 or 1.0
	// Pieces, if set, makes it send a request in pieces with pauses between them.
	Pieces *rand.Rand
	conn   *proxytest.Raw
}

// Close closes the connection. The next request opens another one.
func (t *HTTP1) Close() {
	if t.conn != nil {
		_ = t.conn.Close()
		t.conn = nil
	}
}

// Do implements Transport.
func (t *HTTP1) Do(ctx context.Context, r *Request) (got *Answer, err error) {
	if err := t.Connect(); err != nil {
		return nil, err
	}
	c := t.conn
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		// If ctx has ended meanwhile, its deadline could still hit the next request.
		if !stop() || err != nil {
			t.Close()
		}
	}()
	if err := t.Send(t.Text(r)); err != nil {
		return nil, fmt.Errorf("sending: %w", err)
	}
	return t.Receive(r)
}

// Connect opens a connection unless there is one.
func (t *HTTP1) Connect() error {
	if t.conn != nil {
		return nil
	}
	c, err := proxytest.DialRaw(t.Addr, t.Config)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	t.conn = c
	return nil
}

// Connected reports whether there is a connection.
func (t *HTTP1) Connected() bool { return t.conn != nil }

// SetDeadline bounds what is sent and received from now on. It needs a connection.
func (t *HTTP1) SetDeadline(at time.Time) error { return t.conn.SetDeadline(at) }

// Receive reads the answer to a request that was sent.
func (t *HTTP1) Receive(r *Request) (*Answer, error) {
	a, err := t.conn.Head()
	if err != nil {
		return nil, fmt.Errorf("reading the head of an answer: %w", err)
	}
	if err := t.conn.ReadBody(a, r.Method); err != nil {
		return nil, fmt.Errorf("%w: status %d and %d bytes of the body: %w", ErrBrokenOff, a.Status, len(a.Body), err)
	}
	if !a.Whole {
		return nil, fmt.Errorf("%w: status %d and %d bytes of the body", ErrBrokenOff, a.Status, len(a.Body))
	}
	if t.Version == "1.0" && a.Body == "" && r.Method == "GET" {
		// Without a length, HTTP/1.0 cannot tell a broken body from a whole one, except
		// that etcd's answers are never empty.
		return nil, fmt.Errorf("%w: status %d and no body", ErrBrokenOff, a.Status)
	}
	got := &Answer{Status: a.Status, Body: a.Body}
	if text, ok := a.Field("X-Etcd-Index"); ok {
		if got.EtcdIndex, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, fmt.Errorf("X-Etcd-Index: got %q, want a number", text)
		}
	}
	return got, t.checkEnd(a)
}

// checkEnd checks whether the connection ends, or stays open, as it should.
func (t *HTTP1) checkEnd(a *proxytest.Answer) error {
	connection, _ := a.Field("Connection")
	switch {
	case t.Version == "1.0":
		if end := t.conn.End(); end != proxytest.EndedWell {
			return fmt.Errorf("the end of an HTTP/1.0 connection: got %s, want %s", end, proxytest.EndedWell)
		}
		t.Close()
	case connection == "close" && a.Status < 500 && a.Status != 400:
		return errors.New("an answer of status " + strconv.Itoa(a.Status) + " must not close the connection")
	case connection == "close":
		t.Close()
	}
	return nil
}

// Text returns a request as it is sent.
func (t *HTTP1) Text(r *Request) string {
	text := fmt.Sprintf("%s %s HTTP/%s\r\nHost: localhost\r\n", r.Method, r.Path(), t.Version)
	if r.User != "" {
		text += "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(r.User+":"+r.Password())) + "\r\n"
	}
	if r.Method == "PUT" || r.Method == "POST" || r.Form != "" {
		text += fmt.Sprintf("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", len(r.Form))
	}
	return text + "\r\n" + r.Form
}

// Send sends a text on the connection, which must be open.
func (t *HTTP1) Send(text string) error {
	if t.Pieces != nil {
		for range t.Pieces.IntN(6) {
			if len(text) < 2 {
				break
			}
			cut := 1 + t.Pieces.IntN(len(text)-1)
			if err := t.conn.Send(text[:cut]); err != nil {
				return err
			}
			text = text[cut:]
			time.Sleep(time.Duration(t.Pieces.IntN(30)) * time.Millisecond)
		}
	}
	return t.conn.Send(text)
}
