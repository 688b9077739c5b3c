package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
)

// TestAnUpgradeRefusesNoConnection replaces the process behind one socket four times.
// Clients open a connection for each request, and watches must be ended properly.
func TestAnUpgradeRefusesNoConnection(t *testing.T) {
	t.Parallel()
	t.Run("fast lane", func(t *testing.T) { upgrade(t, "") })
	t.Run("standard lane", func(t *testing.T) { upgrade(t, "fast_lane = false\n") })
}

func upgrade(t *testing.T, config string) {
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	f := newFolder(t, config+fmt.Sprintf(daemontest.SeedConfig, etcd.URL()))
	file, addr := socket(t)
	running := f.start("etcd-tlsproxy.socket", nil, file)
	stop := make(chan struct{})
	var requests atomic.Int64
	var clients sync.WaitGroup
	for id := range 4 {
		clients.Go(func() {
			client := f.client()
			client.Transport.(*http.Transport).DisableKeepAlives = true
			client.Transport.(*http.Transport).ForceAttemptHTTP2 = id%2 == 0
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				key := "https://" + addr + "/v2/keys/eventlogging/" + strconv.Itoa(id)
				want := strconv.Itoa(n)
				if err := putAndGet(client, key, want); err != nil {
					t.Errorf("request %d of client %d: %v", n, id, err)
					return
				}
				requests.Add(2)
			}
		})
	}
	for range 4 {
		watch, err := proxytest.DialRaw(addr, &tls.Config{RootCAs: f.pki.Pool(), ServerName: "localhost"})
		if err != nil {
			t.Fatal(err)
		}
		if err := watch.Send("GET /v2/keys/conftool/?wait=true&recursive=true HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := watch.Head(); err != nil {
			t.Fatal(err)
		}
		before := requests.Load()
		running.terminate()
		if end := watch.End(); end != proxytest.EndedWell {
			t.Errorf("a watch ended with %s, want %s", end, proxytest.EndedWell)
		}
		watch.Close()
		running = f.start("etcd-tlsproxy.socket", nil, file)
		waitFor(t, "the clients make requests", func() bool { return requests.Load() > before+20 })
	}
	close(stop)
	clients.Wait()
	t.Logf("%d requests on as many connections", requests.Load())
}

func putAndGet(client *http.Client, key, value string) error {
	for _, method := range []string{"PUT", "GET"} {
		req, err := http.NewRequest(method, key, nil)
		if err != nil {
			return err
		}
		if method == "PUT" {
			req.URL.RawQuery = "value=" + value
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode > 201 || !strings.Contains(string(body), `"value":"`+value+`"`) {
			return fmt.Errorf("%s: got status %s with %q and the error %w, want the value %s", method, resp.Status, body, err, value)
		}
	}
	return nil
}

func waitFor(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !reached(); time.Sleep(2 * time.Millisecond) { //nolint:forbidigo // other processes signal nothing
		if time.Now().After(limit) {
			t.Fatalf("after 20s it is still not true that %s", what)
		}
	}
}

func TestSocketsOfTheServiceManagerAreServed(t *testing.T) {
	f := newFolder(t, fmt.Sprintf(daemontest.SeedConfig, "http://127.0.0.1:1"))
	one, oneAddr := socket(t)
	two, twoAddr := socket(t)
	admin, adminAddr := socket(t)
	p := f.start("https:admin:other", nil, one, admin, two)
	for _, addr := range []string{oneAddr, twoAddr} {
		resp, err := f.client().Get("https://" + addr + "/v2/keys/a")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 503 { // no etcd runs
			t.Errorf("a read at %s: got status %s, want 503", addr, resp.Status)
		}
	}
	resp, err := http.Get("http://" + adminAddr + "/-/ready")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("GET /-/ready: got status %s, want 200", resp.Status)
	}
	p.terminate()
	if !strings.Contains(p.log.String(), "inherited=3") {
		t.Errorf("the log does not contain inherited=3:\n%s", p.log)
	}
}

// TestTheServiceManagerIsTold listens in the place of a service manager. The watchdog is fed
// also where the admin address has TLS and users.
func TestTheServiceManagerIsTold(t *testing.T) {
	for name, secured := range map[string]string{"plain": "", "secured": "admin_web_config = \"admin.yml\"\n"} {
		t.Run(name, func(t *testing.T) { toldToTheServiceManager(t, secured) })
	}
}

func toldToTheServiceManager(t *testing.T, secured string) {
	t.Helper()
	f := newFolder(t, secured+fmt.Sprintf(daemontest.SeedConfig, "http://127.0.0.1:1"))
	web := "tls_server_config: {cert_file: server.crt, key_file: server.key}\nbasic_auth_users: {a: $2y$04$p0soJlhLYJzGb7CCBeKNcOWAEoMSt4xCdPbITwaPRz/.OHTkIutwC}\n"
	if err := os.WriteFile(filepath.Join(f.dir, "admin.yml"), []byte(web), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(f.dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	notified := make(chan string, 1000)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			notified <- string(buf[:n])
		}
	}()
	expect := func(want string) {
		t.Helper()
		limit := time.After(20 * time.Second)
		for {
			select {
			case got := <-notified:
				if strings.Contains(got, want) {
					return
				}
			case <-limit:
				t.Fatalf("after 20s the service has not sent %q", want)
			}
		}
	}
	p := f.start("", []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=200000"})
	expect("READY=1\nSTATUS=serving")
	expect("WATCHDOG=1")
	expect("WATCHDOG=1")
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	expect("RELOADING=1\nMONOTONIC_USEC=")
	expect("READY=1\nSTATUS=serving")
	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	expect("WATCHDOG=1")
	p.terminate()
	expect("STOPPING=1")
}
