package proxytest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Raw is a client that sends and receives bytes as they are.
type Raw struct {
	*tls.Conn
	r *bufio.Reader
}

// patience bounds each wait of a test. It is long, because machines that run many tests at
// once stall.
const patience = time.Minute

// DialRaw connects to the proxy at addr.
func DialRaw(addr string, config *tls.Config) (*Raw, error) {
	dialer := net.Dialer{Timeout: patience}
	c, err := tls.DialWithDialer(&dialer, "tcp", addr, config)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &Raw{c, bufio.NewReader(c)}, nil
}

// Send sends a text.
func (c *Raw) Send(text string) error {
	_, err := io.WriteString(c.Conn, text)
	return err
}

// Answer is one response.
type Answer struct {
	Proto  string
	Status int
	// Lines are the lines of the header in their exact spelling.
	Lines []string
	Body  string
	// Whole is set if the body is as long as its framing announced.
	Whole bool
}

// Field returns the value of a field by the exact spelling of its name.
func (a *Answer) Field(name string) (string, bool) {
	for _, line := range a.Lines {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return value, true
		}
	}
	return "", false
}

// Head reads the head of one response.
func (c *Raw) Head() (*Answer, error) {
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	a := &Answer{}
	parts := strings.SplitN(line, " ", 3)
	if len(parts) < 2 {
		return nil, fmt.Errorf("reading an answer: %q is not a valid status line", line)
	}
	a.Proto = parts[0]
	if a.Status, err = strconv.Atoi(parts[1]); err != nil {
		return nil, fmt.Errorf("reading an answer: %q is not a valid status line", line)
	}
	for {
		if line, err = c.line(); err != nil {
			return nil, err
		}
		if line == "" {
			return a, nil
		}
		a.Lines = append(a.Lines, line)
	}
}

func (c *Raw) line() (string, error) {
	line, err := c.r.ReadString('\n')
	return strings.TrimSuffix(line, "\r\n"), err
}

// Answer reads one response to a request with the given method.
func (c *Raw) Answer(method string) (*Answer, error) {
	a, err := c.Head()
	if err != nil {
		return nil, err
	}
	return a, c.ReadBody(a, method)
}

// ReadBody reads the body behind a head.
func (c *Raw) ReadBody(a *Answer, method string) error {
	length, hasLength := a.Field("Content-Length")
	coding, _ := a.Field("Transfer-Encoding")
	var body io.Reader
	switch {
	case method == http.MethodHead || a.Status == http.StatusNoContent || a.Status == http.StatusNotModified:
		a.Whole = true
		return nil
	case coding == "chunked":
		body = httputil.NewChunkedReader(c.r)
	case hasLength:
		n, err := strconv.ParseInt(length, 10, 64)
		if err != nil {
			return fmt.Errorf("reading a body: %q is not a valid Content-Length", length)
		}
		data := make([]byte, n)
		read, err := io.ReadFull(c.r, data)
		a.Body, a.Whole = string(data[:read]), err == nil
		return nil
	default:
		body = c.r
	}
	data, err := io.ReadAll(body)
	a.Body, a.Whole = string(data), err == nil
	if coding == "chunked" && a.Whole {
		_, err = c.line() // the empty line that ends the trailers
		return err
	}
	return nil // a body that breaks off is an answer, too
}

// The ways in which a connection ends.
const (
	EndedWell = "close_notify" // with close_notify
	EndedCut  = "cut"          // without close_notify
	EndedRST  = "reset"
	StaysOpen = "open"
)

// End waits for the end of the connection, and discards the bytes before it.
func (c *Raw) End() string {
	_, err := io.Copy(io.Discard, c.r)
	switch {
	case err == nil:
		return EndedWell
	case errors.Is(err, io.ErrUnexpectedEOF):
		return EndedCut
	case errors.Is(err, syscall.ECONNRESET):
		return EndedRST
	case errors.Is(err, os.ErrDeadlineExceeded):
		return StaysOpen
	}
	return err.Error()
}
