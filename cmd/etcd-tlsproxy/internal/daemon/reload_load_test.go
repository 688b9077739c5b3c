package daemon_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
)

// load is traffic that no reload may disturb.
type load struct {
	*service
	ctx      context.Context
	requests atomic.Int64
	written  atomic.Int64 // the last value of the watched sequence
}

func (l *load) client(http2 bool) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: l.PKI.Pool()}, ForceAttemptHTTP2: http2}}
}

// send makes a request and returns the node of the answer. A failure fails the test.
func (l *load) send(client *http.Client, method, target, value string) (index uint64, got string) {
	var body io.Reader
	if value != "" {
		body = strings.NewReader(url.Values{"value": {value}}.Encode())
	}
	req, err := http.NewRequest(method, l.URL+"/v2/keys"+target, body)
	if err != nil {
		l.T.Error(err)
		return 0, ""
	}
	if value != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth("conftool", "conftool-1")
	}
	resp, err := client.Do(req)
	if err != nil {
		l.T.Errorf("%s %s: %v", method, target, err)
		return 0, ""
	}
	defer resp.Body.Close()
	var answer struct {
		Node struct {
			Value         string
			ModifiedIndex uint64
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode >= 300 {
		l.T.Errorf("%s %s: got status %s and the error %v, want a success with a node", method, target, resp.Status, err)
	}
	l.requests.Add(1)
	return answer.Node.ModifiedIndex, answer.Node.Value
}

// readAndWrite is a client that must read its own writes.
func (l *load) readAndWrite(id int) {
	client := l.client(id%2 == 0)
	defer client.CloseIdleConnections()
	key := "/conftool/" + strconv.Itoa(id)
	for n := 0; l.ctx.Err() == nil; n++ {
		value := fmt.Sprintf("%d-%d", id, n)
		l.send(client, "PUT", key, value)
		if _, got := l.send(client, "GET", key, ""); got != value {
			l.T.Errorf("a read of %s returned %q, want the %q just written", key, got, value)
		}
	}
}

// follow is a client that watches a sequence and must miss no value.
func (l *load) follow(http2 bool, since uint64, until <-chan struct{}) {
	client := l.client(http2)
	defer client.CloseIdleConnections()
	for next := 1; ; next++ {
		index, got := l.send(client, "GET", "/conftool/sequence?wait=true&waitIndex="+strconv.FormatUint(since, 10), "")
		if got != strconv.Itoa(next) {
			l.T.Errorf("the watch returned %q, want %d", got, next)
			return
		}
		since = index + 1
		select {
		case <-until:
			if int64(next) == l.written.Load() {
				return
			}
		default:
		}
	}
}

// TestFiftyReloadsUnderLoadFailNoRequestAndLoseNoWatch changes everything that a
// reload can change, with valid and invalid files.
func TestFiftyReloadsUnderLoadFailNoRequestAndLoseNoWatch(t *testing.T) {
	t.Parallel()
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	l := &load{service: startService(t, fmt.Sprintf(daemontest.SeedConfig, etcd.URL()))}
	var stop context.CancelFunc
	l.ctx, stop = context.WithCancel(context.Background())
	writer := l.client(false)
	first, _ := l.send(writer, "PUT", "/conftool/sequence", "0")
	var all sync.WaitGroup
	for id := range 4 {
		all.Go(func() { l.readAndWrite(id) })
	}
	last := make(chan struct{})
	for _, http2 := range []bool{false, true} {
		all.Go(func() { l.follow(http2, first+1, last) })
	}
	good := l.Read("etcd-tlsproxy.toml")
	reload := func(what string, want int) {
		t.Helper()
		if status, body := l.Admin("POST", "/-/reload"); status != want {
			t.Errorf("reload with %s: got status %d with %q, want %d", what, status, body, want)
		}
		l.send(writer, "PUT", "/conftool/sequence", strconv.FormatInt(l.written.Add(1), 10))
	}
	for n := range 50 {
		switch n % 5 {
		case 0:
			before := l.Serial()
			l.WriteCertificate()
			reload("a new certificate", 200)
			if l.Serial() == before {
				t.Error("after the reload the service still shows the old certificate")
			}
		case 1:
			key := l.Read("server.key")
			l.WriteCertificate()
			next := l.Read("server.key")
			l.Write("server.key", key)
			reload("a key of another certificate", 500)
			l.Write("server.key", next)
			reload("the right key", 200)
		case 2:
			users := l.Read("htpasswd")
			l.Write("htpasswd", users[:len(users)-10])
			reload("a truncated htpasswd file", 500)
			l.Write("htpasswd", users)
			reload("the whole htpasswd file", 200)
		case 3:
			l.WriteUsers(map[string]string{"root": fmt.Sprint("root-", n), "conftool": "conftool-1"})
			reload("another password", 200)
			if status := l.Put("root", fmt.Sprint("root-", n-5)); status != 401 {
				t.Errorf("a write with the old password of root: got status %d, want 401", status)
			}
		case 4:
			l.Write("etcd-tlsproxy.toml", good+fmt.Sprintf("\"/conftool/other%d\" = [\"root\"]\n", n))
			reload("another rule", 200)
			if status := l.Put("conftool", "conftool-1"); status >= 300 {
				t.Errorf("a write that the new rule does not cover: got status %d, want a success", status)
			}
		}
	}
	close(last)
	l.send(writer, "PUT", "/conftool/sequence", strconv.FormatInt(l.written.Add(1), 10))
	stop()
	all.Wait()
	writer.CloseIdleConnections()
	t.Logf("%d requests, %d events", l.requests.Load(), l.written.Load())
}
