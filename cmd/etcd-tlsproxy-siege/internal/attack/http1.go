package attack

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// request is a request of an attacker, in any protocol.
type request struct {
	method, target string
	authorization  string
	body           string // a form
	announced      int    // the length that the head announces; 0 means that of body
}

// form is the media type of a body.
const form = "application/x-www-form-urlencoded"

// http1 returns the bytes of a request. HTTP/1.0 asks for a persistent connection.
func (r *request) http1(protocol string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/%s\r\nHost: localhost\r\n", r.method, r.target, protocol)
	if protocol == HTTP10 {
		b.WriteString("Connection: keep-alive\r\n")
	}
	if r.authorization != "" {
		fmt.Fprintf(&b, "Authorization: %s\r\n", r.authorization)
	}
	if n := max(r.announced, len(r.body)); n > 0 {
		fmt.Fprintf(&b, "Content-Type: %s\r\nContent-Length: %d\r\n", form, n)
	}
	b.WriteString("\r\n")
	b.WriteString(r.body)
	return b.Bytes()
}

// first returns a request as the first one of a connection of the crew's protocol, with
// what must precede it.
func (c *crew) first(r *request) []byte {
	if c.Protocol == HTTP2 {
		return append(preface(wideWindow), newEncoder().request(1, r)...)
	}
	return r.http1(c.Protocol)
}

// asker sends one request at a time on a connection, and reads each answer whole.
type asker struct {
	*conn
	in *bufio.Reader
	h2 *h2
}

func (c *crew) newAsker(k *conn) (*asker, error) {
	a := &asker{conn: k}
	if c.Protocol == HTTP2 {
		a.h2 = newH2(k)
		return a, a.h2.begin()
	}
	a.in = bufio.NewReader(k)
	return a, nil
}

// answer is what an asker needs of an answer.
type answer struct {
	status int
	index  string // X-Etcd-Index
	body   []byte
}

// askTimeout bounds one exchange: an attacker whose request is never answered must end.
const askTimeout = 30 * time.Second

// ask sends a request and returns its answer.
func (a *asker) ask(r *request) (*answer, error) {
	if err := a.SetDeadline(time.Now().Add(askTimeout)); err != nil {
		return nil, err
	}
	if a.h2 != nil {
		return a.h2.ask(r)
	}
	if _, err := a.Write(r.http1(a.crew.Protocol)); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(a.in, &http.Request{Method: r.method})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAsked))
	if err != nil {
		return nil, err
	}
	a.crew.answers.Add(1)
	a.crew.bytes.Add(int64(len(body)))
	if resp.Close && a.crew.Protocol != HTTP2 {
		err = errClosing
	}
	return &answer{resp.StatusCode, resp.Header.Get("X-Etcd-Index"), body}, err
}

// maxAsked is the most that an asker reads of an answer.
const maxAsked = 64 << 20

// errClosing comes with an answer after which the server closes the connection.
var errClosing = errors.New("the server closes the connection")

// put writes a value through HTTP/1.1, whatever the protocol of the attack is: its
// bytes are the attack, not their way.
func (c *crew) put(ctx context.Context, key, value string) (*answer, error) {
	config := c.config.Clone()
	config.NextProtos, config.ClientSessionCache = []string{"http/1.1"}, nil
	k, err := c.dial(ctx, 0, dialOptions{config: config})
	if err != nil {
		return nil, err
	}
	defer k.leave(false)
	stop := context.AfterFunc(ctx, func() { _ = k.raw.Close() })
	defer stop()
	direct := &crew{Spec: c.Spec}
	direct.Protocol = HTTP11
	a, err := direct.newAsker(&conn{Conn: k.Conn, crew: direct, raw: k.raw})
	if err != nil {
		return nil, err
	}
	got, err := a.ask(&request{method: "PUT", target: "/v2/keys" + key, body: "value=" + value, authorization: c.authorization()})
	if errors.Is(err, errClosing) {
		err = nil
	}
	return got, err
}

// long returns a value of n bytes.
func long(n int) string { return strings.Repeat("x", n) }
