package proxy_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// startHAProxy starts HAProxy in front of a proxy, with options of its server, and returns its
// address.
func startHAProxy(t *testing.T, f *fronttest.Front, options string) string {
	t.Helper()
	addr, err := proxytest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "haproxy.cfg")
	config := fmt.Sprintf(`global
  maxconn 100
defaults
  mode tcp
  timeout connect 60s
  timeout client 60s
  timeout server 60s
listen etcd
  bind %s
  server proxy %s %s
`, addr, f.Addr, options)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	child, err := proxytest.StartChild(filepath.Join(dir, "log"), "haproxy", "-db", "-f", file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		child.Signal(syscall.SIGTERM)
		<-child.Exited()
	})
	fronttest.Eventually(t, "HAProxy listens", func() bool {
		select {
		case <-child.Exited():
			said, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("HAProxy has exited: %s", said)
		default:
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
	return addr
}

func TestClientsBehindHAProxyAreNamed(t *testing.T) {
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("haproxy is not installed")
	}
	t.Parallel()
	for _, options := range []string{"send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options unique-id,authority"} {
		fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
			f, _ := l.Embedded(t, behindBalancers)
			addr := startHAProxy(t, f, options+" check inter 50ms")
			for _, proto := range []string{"h1", "h2"} {
				client := f.Client(proto)
				for _, from := range []string{"127.0.3.7", "127.0.4.8"} {
					client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
						return dialer(from).DialContext(ctx, network, addr)
					}
					f.Access.Clear()
					if status, body, _ := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys", "", ""); status != 200 {
						t.Fatalf("%s, %s: a read: got %d %s, want 200", options, proto, status, body)
					}
					fronttest.Eventually(t, "the read is logged", func() bool { return f.Access.Lines() == 1 })
					if line := f.Access.String(); !strings.HasPrefix(line, from+" - ") {
						t.Errorf("%s, %s: the access log: got %q, want the address %s first", options, proto, line, from)
					}
					client.CloseIdleConnections()
				}
			}
			// A check is a connection of HAProxy itself, which ends without a handshake.
			fronttest.Eventually(t, "HAProxy checks the proxy", func() bool { return f.Counter("etcd_tlsproxy_handshake_failures_total", "client_gone") > 0 })
			if got := refusedHeaders(f); got != 0 {
				t.Errorf("%s: connections that were refused for their header: got %v, want none; the log:\n%s", options, got, f.Log)
			}
		})
	}
}
