package proxy_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// TestAClientOfIPv4IsNamedAsSuchAtASocketOfIPv6 covers the default listen address, which is
// one socket for both families.
func TestAClientOfIPv4IsNamedAsSuchAtASocketOfIPv6(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		ln, err := net.Listen("tcp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		f := l.New(t, fronttest.StandIn(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }), nil, nil)
		f.Serve(ln)
		_, port, err := net.SplitHostPort(f.Addr)
		if err != nil {
			t.Fatal(err)
		}
		f.Addr = net.JoinHostPort("127.0.0.1", port)
		f.Exchange("PUT /v2/keys/a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
		if from := entries(t, f, 1)[0]["from"].(string); !strings.HasPrefix(from, "127.0.0.1:") {
			t.Errorf("the client in the audit log: got %s, want 127.0.0.1 and its port", from)
		}
	})
}
