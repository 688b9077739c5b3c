package daemon_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
)

// bareAcks returns the number of packets without data that a client has received.
func bareAcks(t *testing.T, c net.Conn) int {
	t.Helper()
	socket, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	if controlErr := socket.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); controlErr != nil || err != nil {
		t.Fatalf("reading the state of a socket: %v, %v", controlErr, err)
	}
	return int(info.Segs_in) - int(info.Data_segs_in)
}

// TestTheAdminAddressAcknowledgesAtOnce: a client that leaves Nagle's algorithm on, and sends its
// request in two pieces or behind its handshake, would wait 40 ms for the acknowledgment. This
// one sends its requests at once, so that otherwise the answers would carry it.
func TestTheAdminAddressAcknowledgesAtOnce(t *testing.T) {
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	const config = daemontest.SeedConfig
	plain := daemontest.Start(t, fmt.Sprintf(config, "http://127.0.0.1:1"))
	secured := daemontest.StartWith(t, "admin_web_config = \"admin.yml\"\n"+fmt.Sprintf(config, "http://127.0.0.1:1"), map[string]string{
		"admin.crt": string(cert), "admin.key": string(key), "admin.yml": "tls_server_config: {cert_file: admin.crt, key_file: admin.key}\n",
	})
	for what, s := range map[string]*daemontest.Service{"plain": plain, "with TLS": secured} {
		wire, err := net.Dial("tcp", strings.TrimPrefix(s.AdminURL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer wire.Close()
		_ = wire.SetDeadline(time.Now().Add(time.Minute))
		c := wire
		if s == secured {
			c = tls.Client(wire, &tls.Config{RootCAs: pki.Pool(), ServerName: "127.0.0.1"})
		}
		in := bufio.NewReader(c)
		before := 0
		for i := range 3 { // the kernel delays nothing before the first answer
			before = bareAcks(t, wire)
			if _, err := io.WriteString(c, "GET /-/ready HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(in, nil)
			if err != nil || answer.StatusCode != 200 {
				t.Fatalf("request %d of an admin address that is %s: got %+v, %v; want 200", i, what, answer, err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
		}
		if n := bareAcks(t, wire) - before; n == 0 {
			t.Errorf("an admin address that is %s: got no acknowledgment before the answer, want one", what)
		}
	}
}
