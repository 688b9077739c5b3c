package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
)

// flood keeps connections from an address open, as many as it gets, each with a watch of another
// key. Who is cut connects again. It returns once half of them were answered or cut.
func flood(t *testing.T, f *folder, addr, from string, connections int) {
	t.Helper()
	stop := make(chan struct{})
	tried := make(chan struct{}, 1<<16)
	var clients sync.WaitGroup
	t.Cleanup(func() {
		close(stop)
		clients.Wait()
	})
	for i := range connections {
		clients.Go(func() {
			dialer := &net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			for again := 0; ; again++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(min(again, 1)) * 100 * time.Millisecond): // after the first time
				}
				c, err := tls.DialWithDialer(dialer, "tcp", addr, &tls.Config{RootCAs: f.pki.Pool(), ServerName: "localhost"})
				if err == nil {
					_, _ = fmt.Fprintf(c, "GET /v2/keys/flood/%d?wait=true HTTP/1.1\r\nHost: h\r\n\r\n", i)
					_, err = bufio.NewReader(c).ReadByte()
				}
				tried <- struct{}{}
				if err == nil {
					ended := make(chan struct{})
					go func() {
						_, _ = io.Copy(io.Discard, c)
						close(ended)
					}()
					select {
					case <-ended:
					case <-stop:
					}
				}
				if c != nil {
					c.Close()
				}
			}
		})
	}
	for range connections / 2 {
		<-tried
	}
}

// TestWhoHoldsManyConnectionsLeavesFilesForOthers has a process that may have 256 files open, and a
// client that wants 400 connections, and one to etcd for each.
func TestWhoHoldsManyConnectionsLeavesFilesForOthers(t *testing.T) {
	e, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	front, addr := socket(t)
	admin, adminAddr := socket(t)
	f := newFolder(t, fmt.Sprintf(daemontest.SeedConfig, e.URL()))
	p := f.start("https:admin", []string{"OPEN_FILES=256"}, front, admin)
	if !strings.Contains(p.log.String(), "20000 connections need more open files than this process may have, 256") {
		t.Errorf("a process with 256 files says nothing of the connections that do not fit:\n%s", p.log)
	}
	flood(t, f, addr, "127.0.0.2", 400)
	client := f.client()
	client.Transport.(*http.Transport).DisableKeepAlives = true
	for i := range 20 {
		resp, err := client.Get("https://" + addr + "/v2/keys/")
		if err != nil {
			t.Errorf("request %d of another client: %v", i, err)
			continue
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusOK {
			t.Errorf("request %d of another client: got status %d, want 200", i, resp.StatusCode)
		}
	}
	resp, err := http.Get("http://" + adminAddr + "/-/status.json")
	if err != nil {
		t.Fatalf("the status during the flood: %v", err)
	}
	defer resp.Body.Close()
	status, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(status), "connections need more open files") {
		t.Errorf("the status during the flood says nothing of the files: %v", err)
	}
}
