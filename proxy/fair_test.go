package proxy_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// dialFrom connects a client from another address of loopback.
func dialFrom(t *testing.T, f *fronttest.Front, address string, protocols ...string) *tls.Conn {
	t.Helper()
	config := f.TLS()
	config.NextProtos = protocols
	dialer := &net.Dialer{Timeout: fronttest.Patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	c, err := tls.DialWithDialer(dialer, "tcp", f.Addr, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(fronttest.Patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestUnfinishedUploadsOfOneClientDoNotRefuseThoseOfOthers lets a client hold all the memory
// for bodies, and send a byte now and then.
func TestUnfinishedUploadsOfOneClientDoNotRefuseThoseOfOthers(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.EmbeddedWith(t, func(o *proxy.Options) { o.MaxBodyMemory = 4 << 20 }, nil)
		stop := make(chan struct{})
		defer close(stop)
		for range 8 {
			c := dialFrom(t, f, "127.0.0.2")
			go func() {
				_, err := fmt.Fprintf(c, "PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n%s", strings.Repeat("x", 900_000))
				for err == nil {
					select {
					case <-stop:
						return
					case <-time.After(20 * time.Millisecond):
						_, err = io.WriteString(c, "x")
					}
				}
			}()
		}
		// The attack is under way when one of its own uploads is refused.
		c := dialFrom(t, f, "127.0.0.2")
		refused := func() bool {
			_, err := fmt.Fprintf(c, "PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 300006\r\n\r\nvalue=%s", strings.Repeat("x", 300_000))
			if err != nil {
				return false
			}
			answer := make([]byte, 1<<10)
			n, err := c.Read(answer)
			return err == nil && strings.HasPrefix(string(answer[:n]), "HTTP/1.1 503 ")
		}
		fronttest.Eventually(t, "an upload of the client that holds the memory is refused", refused)
		client := f.Client("h1")
		for i := range 5 {
			status, body, _ := fronttest.Do(t, client, http.MethodPut, f.URL()+"/v2/keys/x", "root", "value="+strings.Repeat("y", 300_000))
			if status != 200 && status != 201 {
				t.Errorf("write %d of another client: got %d %.200s, want 200 or 201", i+1, status, body)
			}
		}
	})
}
