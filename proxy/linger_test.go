package proxy_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// TestAClientThatIsRefusedInItsHandshakeReadsTheAlert: in TLS 1.3 a client sends its request
// right behind its certificate. If the connection is closed while these bytes are unread, the
// client gets a reset, and many programs report that instead of the alert.
func TestAClientThatIsRefusedInItsHandshakeReadsTheAlert(t *testing.T) {
	good, other := newAuthority(t, "clients"), newAuthority(t, "clients")
	f := fronttest.Fast.Front(t, fronttest.StandIn(t, nil), func(s *lane.Snapshot, pki *proxytest.PKI) {
		s.Certs = fronttest.Generation(t, pki, certs.Options{ClientCA: certs.PEM{File: "ca", Data: pemOf(good.cert)}, Require: true})
	})
	for what, certificates := range map[string][]tls.Certificate{"no certificate": nil, "a certificate of another CA": {other.client(nil)}} {
		alerts, ends := 0, map[string]int{}
		const refusals = 500
		for range refusals {
			alert, end := refusedHandshake(t, f, certificates)
			if alert {
				alerts++
			}
			ends[end]++
		}
		if alerts != refusals || ends["the end"] != refusals {
			t.Errorf("%d handshakes with %s: got %d alerts, and then %v; want an alert and the end each time", refusals, what, alerts, ends)
		}
	}
}

// refusedHandshake sends a certificate and a request, and reports whether an alert arrives, and
// what follows it.
func refusedHandshake(t *testing.T, f *fronttest.Front, certificates []tls.Certificate) (alert bool, end string) {
	t.Helper()
	wire, err := net.Dial("tcp", f.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer wire.Close()
	_ = wire.SetDeadline(time.Now().Add(fronttest.Patience))
	config := f.TLS()
	config.Certificates = certificates
	c := tls.Client(wire, config)
	// Too large to be received together with the certificate.
	_, err = io.WriteString(c, "GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nA: "+strings.Repeat("x", 20_000)+"\r\n\r\n")
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	var failure *net.OpError
	alert = errors.As(err, &failure) && failure.Op == "remote error"
	switch _, err = io.Copy(io.Discard, wire); {
	case errors.Is(err, syscall.ECONNRESET):
		return alert, "a reset"
	case err != nil:
		return alert, "another error"
	}
	return alert, "the end"
}

// TestAClientThatSendsOnBehindItsLastAnswerReadsIt: the client sends all it has before it reads.
func TestAClientThatSendsOnBehindItsLastAnswerReadsIt(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.FrontWith(t, fronttest.StandIn(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }), nil, func(s *lane.Snapshot, _ *proxytest.PKI) {
			s.Limits.Body = 1 << 20
		})
		more := strings.Repeat("more\r\n", 1<<20)
		for what, c := range map[string]struct {
			text   string
			status int
		}{
			"an answer that the client announced as the last": {"GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 200},
			"an answer of HTTP/1.0":                           {"GET /v2/keys/a HTTP/1.0\r\n\r\n", 200},
			"the refusal of a malformed request":              {"GET /v2/keys/a HTTP/1.1\nHost: h\n\n", 400},
			"the refusal of a body that is malformed":         {"PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx", 400},
			"the refusal of a body that is too large":         {fmt.Sprintf("PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", len(more)), 413},
			"a refusal of the last request":                   {"PUT /v2/keys/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 401},
		} {
			// A busy machine can stop the client for longer than the proxy waits, but not each time.
			problem := ""
			for range 5 {
				if problem = sendOn(f, c.text+more, c.status); problem == "" {
					break
				}
			}
			if problem != "" {
				t.Errorf("%s: %s", what, problem)
			}
		}
	})
}

// sendOn sends a text as a whole, and returns what is wrong with the answer or the end.
func sendOn(f *fronttest.Front, text string, status int) (problem string) {
	c := f.Dial()
	defer c.Close()
	if err := c.Send(text); err != nil {
		return fmt.Sprintf("sending on: got the error %v, want none", err)
	}
	if a, err := c.Answer("GET"); err != nil || a.Status != status || !a.Whole {
		return fmt.Sprintf("got %+v, %v; want all of an answer with status %d", a, err, status)
	}
	if end := c.End(); end != proxytest.EndedWell {
		return fmt.Sprintf("the connection ended with %s, want %s", end, proxytest.EndedWell)
	}
	return ""
}
