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

// TestAFloodOfIdleConnectionsDoesNotOutgrowTheMemory opens far more connections than the
// limit has room for. Meanwhile writes must be carried out and the admin must answer.
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
					// What is turned away is part of it.
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
	most, answered := 0, 0
	client := f.client()
	client.Transport.(*http.Transport).DisableKeepAlives = true
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); {
		most = max(most, residentMemory(t, p.Process.Pid))
		resp, err := http.Get("http://" + admin + "/-/healthy")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("the admin answers %s", resp.Status)
		}
		if err := tryWrite(client, "https://"+addr+"/v2/keys/eventlogging/a?value=1"); err == nil {
			answered++
		}
	}
	close(stop)
	flood.Wait()
	// What Go's own limit does not count is the program itself.
	if most > limit+40<<20 {
		t.Errorf("it grew to %d MiB", most>>20)
	}
	if answered < 10 {
		t.Errorf("only %d writes were answered", answered)
	}
	t.Logf("at most %d MiB, %d writes", most>>20, answered)
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

// residentMemory is a process's memory in bytes.
func residentMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := resident.FindSubmatch(status)
	if found == nil {
		t.Fatalf("no memory in %s", status)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
