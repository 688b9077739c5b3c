package victim

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// Request is what a victim sends.
type Request struct {
	Method, Path   string
	User, Password string
	Value          string
}

// timeout bounds a request with its connection. Client libraries give up after 5 to 60 s.
const timeout = 10 * time.Second

// Client makes requests, each on a connection of its own.
type Client struct {
	Address string // of the server
	From    net.IP
	TLS     *tls.Config
}

// Do sends a request and reads the whole answer. Any status but 2xx is an error.
func (c *Client) Do(r *Request) error {
	step, err := c.do(r)
	switch op := (*net.OpError)(nil); {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: not done within %v", step, timeout)
	case errors.As(err, &op):
		err = op.Err // without the addresses, which differ in each request
	}
	return fmt.Errorf("%s: %w", step, err)
}

// do returns the step that failed, and its error.
func (c *Client) do(r *Request) (step string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: c.From}}
	raw, err := dialer.DialContext(ctx, "tcp", c.Address)
	if err != nil {
		return "connecting", err
	}
	defer raw.Close()
	deadline, _ := ctx.Deadline()
	if err := raw.SetDeadline(deadline); err != nil {
		return "connecting", err
	}
	t := tls.Client(raw, c.TLS)
	if err := t.HandshakeContext(ctx); err != nil {
		return "handshake", err
	}
	if _, err := io.WriteString(t, r.text()); err != nil {
		return "sending the request", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(t), &http.Request{Method: r.Method})
	if err != nil {
		return "reading the answer", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "reading the answer", err
	}
	if resp.StatusCode >= 300 {
		return fmt.Sprintf("status %d", resp.StatusCode), errors.New(cause(body))
	}
	return "", nil
}

// cause returns what an answer says is wrong: etcd's message and cause, or its first bytes.
func cause(body []byte) string {
	var answer struct{ Message, Cause string }
	if json.Unmarshal(body, &answer) == nil && answer.Message != "" {
		return answer.Message + ": " + answer.Cause
	}
	return fmt.Sprintf("%.80q", body)
}

func (r *Request) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", r.Method, r.Path)
	if r.User != "" {
		fmt.Fprintf(&b, "Authorization: Basic %s\r\n", base64.StdEncoding.EncodeToString([]byte(r.User+":"+r.Password)))
	}
	if r.Value != "" {
		fmt.Fprintf(&b, "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\nvalue=%s", len(r.Value)+len("value="), r.Value)
	} else {
		b.WriteString("\r\n")
	}
	return b.String()
}
