package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
)

// TestAFloodOfIdleConnectionsDoesNotOutgrowTheMemory opens many more connections than
// the memory limit allows. Writes and the admin address must work meanwhile.
func TestAFloodOfIdleConnectionsDoesNotOutgrowTheMemory(t *testing.T) {
	if proxytest.UnderRaceDetector() {
		t.Skip("the race detector needs several times the memory, and Go does not count it")
	}
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	const limit = 64 << 20
	config := strings.Replace(fmt.Sprintf(daemontest.SeedConfig, etcd.URL()), "[limits]", fmt.Sprintf("[limits]\nmemory = %d\naddress_handshakes = 100000", limit), 1)
	f := newFolder(t, config)
	file, addr := socket(t)
	adminFile, admin := socket(t)
	p := f.start("https:admin", nil, file, adminFile)
	stop := make(chan struct{})
	var flood sync.WaitGroup
	for range 4 {
		flood.Go(func() {
			var open []*tls.Conn
			for len(open) < 1500 {
				select {
				case <-stop:
				default:
					// The flood includes refused connections.
					if c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: f.pki.Pool(), ServerName: "localhost"}); err == nil {
						open = append(open, c)
					}
					continue
				}
				break
			}
			<-stop
			for _, c := range open {
				_ = c.Close()
			}
		})
	}
	peak, answered := 0, 0
	client := f.client()
	client.Transport.(*http.Transport).DisableKeepAlives = true
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); {
		peak = max(peak, residentMemory(t, p.Process.Pid))
		resp, err := http.Get("http://" + admin + "/-/healthy")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("GET /-/healthy: got status %s, want 200", resp.Status)
		}
		if err := tryWrite(client, "https://"+addr+"/v2/keys/eventlogging/a?value=1"); err == nil {
			answered++
		}
	}
	close(stop)
	flood.Wait()
	// Go's limit does not count the program's own pages, which are below 40 MiB.
	if peak > limit+40<<20 {
		t.Errorf("the process grew to %d MiB, want at most %d", peak>>20, (limit+40<<20)>>20)
	}
	if answered < 10 {
		t.Errorf("%d writes succeeded, want at least 10", answered)
	}
	t.Logf("at most %d MiB, %d writes", peak>>20, answered)
}

func tryWrite(client *http.Client, target string) error {
	req, err := http.NewRequest(http.MethodPut, target, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode > 201 {
		return errors.New(resp.Status)
	}
	return nil
}

var resident = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// residentMemory returns the resident memory of a process in bytes.
func residentMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := resident.FindSubmatch(status)
	if found == nil {
		t.Fatalf("/proc/%d/status has no VmRSS:\n%s", pid, status)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
