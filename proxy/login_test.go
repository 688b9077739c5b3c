package proxy_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// slowHashes gives conftool a password whose hash takes long.
func slowHashes(t *testing.T) fronttest.Change {
	hash, err := bcrypt.GenerateFromPassword([]byte("conftool-pw"), 8)
	if err != nil {
		t.Fatal(err)
	}
	return func(s *lane.Snapshot, _ *proxytest.PKI) {
		users, err := acl.ParseUsers(acl.NewHasher(acl.HasherOptions{}), acl.Source{Name: "htpasswd", Data: append([]byte("conftool:"), hash...)})
		if err != nil {
			t.Fatal(err)
		}
		s.Users = users
	}
}

func TestWrongLoginsOfOthersDoNotKeepAClientFromLoggingIn(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.EmbeddedWith(t, func(o *proxy.Options) { o.HashWorkers = 1 }, slowHashes(t))
		wrong := "PUT /v2/keys/conftool/a?value=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nAuthorization: Basic " +
			base64.StdEncoding.EncodeToString([]byte("conftool:wrong")) + "\r\n\r\n"
		for i := range 4 * 20 {
			c, err := tls.DialWithDialer(dialer(fmt.Sprintf("127.0.%d.1", 1+i%4)), "tcp", f.Addr, f.TLS())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if _, err := io.WriteString(c, wrong); err != nil {
				t.Fatal(err)
			}
		}
		fronttest.Eventually(t, "more logins wait than may", func() bool { return f.Counter("etcd_tlsproxy_logins_total", "busy") > 0 })
		if status, body, _ := fronttest.Do(t, f.Client("h1"), "PUT", f.URL()+"/v2/keys/conftool/a", "conftool", "value=1"); status >= 300 {
			t.Errorf("logging in beside guesses from other networks: got %d %s, want 200 or 201", status, body)
		}
	})
}

func TestALoginThatWaitsEndsWhenItsClientLeaves(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		waits, left := make(chan struct{}), make(chan struct{})
		e, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		f := l.New(t, e.URL(), nil, nil)
		f.Server.SetHashTurn(func(ctx context.Context, _ *gate.Peer, _ bool) (func(), error) {
			close(waits)
			defer close(left)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		f.Serve(fronttest.Listen(t))
		c := f.Dial()
		if err := c.Send("PUT /v2/keys/conftool/a HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\n" +
			"Content-Length: 7\r\nAuthorization: " + fronttest.Basic("conftool") + "\r\n\r\nva"); err != nil {
			t.Fatal(err)
		}
		<-waits
		c.Close()
		select {
		case <-left:
		case <-time.After(fronttest.Patience):
			t.Fatalf("%v after its client had left, a login still waits", fronttest.Patience)
		}
	})
}
