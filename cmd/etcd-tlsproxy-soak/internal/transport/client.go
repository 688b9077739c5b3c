package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// Client sends requests through Go's own HTTP client.
type Client struct {
	addr      string
	client    *http.Client
	transport *http.Transport
	major     int // the version of HTTP that answers must have
}

// NewClient makes a client of HTTP/2 or HTTP/1.1. If from is not empty, its connections
// come from that address.
func NewClient(addr, from string, config *tls.Config, http2 bool) *Client {
	dialer := &net.Dialer{Timeout: Timeout}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	t := &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: config.Clone(), ForceAttemptHTTP2: http2,
		TLSHandshakeTimeout: Timeout, DisableCompression: true,
	}
	c := &Client{addr: addr, transport: t, client: &http.Client{Transport: t}, major: 2}
	if !http2 {
		t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		c.major = 1
	}
	return c
}

// Close closes the idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Do implements Transport.
func (c *Client) Do(ctx context.Context, r *Request) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, "https://"+c.addr+r.Path(), strings.NewReader(r.Form))
	if err != nil {
		return nil, err
	}
	if r.User != "" {
		req.SetBasicAuth(r.User, r.Password())
	}
	if r.Form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != c.major {
		return nil, fmt.Errorf("the version of the answer: got %s, want HTTP/%d", resp.Proto, c.major)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: status %d and %d bytes of the body: %w", ErrBrokenOff, resp.StatusCode, len(body), err)
	}
	got := &Answer{Status: resp.StatusCode, Body: string(body)}
	if text := resp.Header.Get("X-Etcd-Index"); text != "" {
		if got.EtcdIndex, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, fmt.Errorf("X-Etcd-Index: got %q, want a number", text)
		}
	}
	return got, nil
}

// Nameless removes the user from each request, so that only a certificate says who
// sends it.
type Nameless struct{ Transport }

// Do implements Transport.
func (n Nameless) Do(ctx context.Context, r *Request) (*Answer, error) {
	bare := *r
	bare.User = ""
	return n.Transport.Do(ctx, &bare)
}
