package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// library speaks through Go's own client: HTTP/2, or HTTP/1.1 from an address of
// its own.
type library struct {
	addr      string
	client    *http.Client
	transport *http.Transport
	h2        bool
}

// newLibrary makes a client. From is the address it comes from; "" for any.
func newLibrary(addr, from string, config *tls.Config, h2 bool) *library {
	dialer := &net.Dialer{Timeout: patience}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	config = config.Clone()
	t := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: config, ForceAttemptHTTP2: h2, TLSHandshakeTimeout: patience, DisableCompression: true}
	if !h2 {
		t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	return &library{addr: addr, transport: t, client: &http.Client{Transport: t}, h2: h2}
}

func (l *library) close() { l.transport.CloseIdleConnections() }

func (l *library) ask(ctx context.Context, r *request) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, "https://"+l.addr+r.path(), strings.NewReader(r.form))
	if err != nil {
		return nil, err
	}
	if r.user != "" {
		req.SetBasicAuth(r.user, r.password())
	}
	if r.form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if want := map[bool]int{false: 1, true: 2}[l.h2]; resp.ProtoMajor != want {
		return nil, fmt.Errorf("answered in %s", resp.Proto)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %d and %d bytes, %w", errBrokenOff, resp.StatusCode, len(body), err)
	}
	got := &answer{status: resp.StatusCode, body: string(body)}
	if text := resp.Header.Get("X-Etcd-Index"); text != "" {
		if got.index, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, fmt.Errorf("an index of %q", text)
		}
	}
	return got, nil
}

// direct asks etcd itself, past the proxy, again and again while it is down.
func direct(url, path string) ([]byte, error) {
	for limit := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		body, err := ask(url + path)
		if err == nil || time.Now().After(limit) {
			return body, err
		}
	}
}

func ask(url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotFound {
		return nil, fmt.Errorf("etcd answers %s to %s", resp.Status, url)
	}
	return io.ReadAll(resp.Body)
}
