package proxy_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// asNginx are conversations that nginx carries on, and that no rule requires to be refused. The
// client waits for an answer after each of its texts, or for more of them.
var asNginx = map[string]struct {
	texts    []string
	statuses []int // of all answers, in their order
}{
	"an upgrade to TLS":          {[]string{"GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: TLS/1.2\r\n\r\n" + getNext}, []int{200, 200}},
	"an upgrade of a write":      {[]string{"DELETE /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + getNext}, []int{200, 200}},
	"an upgrade to a WebSocket":  {[]string{"GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" + getNext}, []int{200, 200}},
	"an upgrade that is refused": {[]string{"PUT /v2/keys/x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + getNext}, []int{401, 200}},
	"a trailer":                  {[]string{chunkedPut + "7\r\nvalue=1\r\n0\r\nX: y\r\n\r\n" + getNext}, []int{200, 200}},
	"trailers of many kinds":     {[]string{chunkedPut + "7\r\nvalue=1\r\n0\r\nContent-Length: 3\r\nHost: evil\r\nEmpty:\r\n\r\n" + getNext}, []int{200, 200}},
	"an announced trailer":       {[]string{strings.Replace(chunkedPut, "Host:", "Trailer: Content-Length\r\nHost:", 1) + "7\r\nvalue=1\r\n0\r\n\r\n" + getNext}, []int{200, 200}},
	"a refused trailer":          {[]string{strings.Replace(chunkedPut, "eventlogging", "x", 1) + "7\r\nvalue=1\r\n0\r\nX: y\r\n\r\n" + getNext}, []int{401, 200}},
	"a refused expectation":      {[]string{"PUT /v2/keys/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n", "value=1" + getNext}, []int{401, 200}},
	"an allowed expectation":     {[]string{"PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n", "value=1" + getNext}, []int{100, 200, 200}},
}

const (
	getNext    = "GET /v2/keys/next HTTP/1.1\r\nHost: h\r\n\r\n"
	chunkedPut = "PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
)

// statusesOf sends the texts and returns the statuses of the answers.
func statusesOf(t *testing.T, addr string, config *tls.Config, texts []string) (statuses []int, err error) {
	t.Helper()
	c, err := proxytest.DialRaw(addr, config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, text := range texts {
		if err := c.Send(text); err != nil {
			return statuses, err
		}
		for {
			a, err := c.Head()
			if err != nil {
				return statuses, err
			}
			statuses = append(statuses, a.Status)
			if a.Status != 100 {
				if err := c.ReadBody(a, "GET"); err != nil {
					return statuses, err
				}
			}
			if i < len(texts)-1 {
				break
			}
			if strings.Contains(a.Body, "/v2/keys/next") {
				return statuses, nil
			}
		}
	}
	return statuses, nil
}

func TestWhatNginxServesIsServed(t *testing.T) {
	etcd := fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for _, name := range []string{"Upgrade", "Trailer", "Expect", "X", "Sec-Websocket-Key"} {
			if value, found := r.Header[name]; found && r.Header.Get("Via-Nginx") == "" {
				t.Errorf("etcd got %s: %q, want none", name, value)
			}
		}
		_, _ = io.WriteString(w, r.RequestURI)
	})
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, etcd, nil)
		for what, c := range asNginx {
			if got, err := statusesOf(t, f.Addr, f.TLS(), c.texts); err != nil || !slices.Equal(got, c.statuses) {
				t.Errorf("%s: got the statuses %v, %v; want %v", what, got, err, c.statuses)
			}
		}
	})
	t.Run("nginx", func(t *testing.T) {
		if !proxytest.FindNginx() {
			t.Skip("nginx is not installed")
		}
		pki, err := proxytest.NewPKI()
		if err != nil {
			t.Fatal(err)
		}
		cert, key, err := pki.Server("localhost")
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for name, data := range map[string][]byte{"cert": cert, "key": key, "users": nil} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		nginx, err := proxytest.StartNginx(dir, func(addr string) string {
			proxied := "proxy_set_header Via-Nginx yes; proxy_pass " + etcd + ";"
			return fmt.Sprintf(`server { listen %s ssl; ssl_certificate %s/cert; ssl_certificate_key %[2]s/key;
location / { limit_except GET { auth_basic etcd; auth_basic_user_file %[2]s/users; } %s }
location /v2/keys/eventlogging { %[3]s } }`, addr, dir, proxied)
		})
		if err != nil {
			t.Fatal(err)
		}
		defer nginx.Close()
		config := &tls.Config{RootCAs: pki.Pool(), ServerName: "localhost"}
		for what, c := range asNginx {
			if got, err := statusesOf(t, nginx.Addr, config, c.texts); err != nil || !slices.Equal(got, c.statuses) {
				t.Errorf("%s through nginx: got the statuses %v, %v; want %v, or this conversation does not belong here", what, got, err, c.statuses)
			}
		}
	})
}
