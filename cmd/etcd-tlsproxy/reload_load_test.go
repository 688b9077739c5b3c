package main

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

	"etcd-tlsproxy/proxy/proxytest"
)

// load is traffic that must not notice any reload.
type load struct {
	*service
	ctx      context.Context
	requests atomic.Int64
	written  atomic.Int64 // into the sequence that is watched
}

func (l *load) client(http2 bool) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: l.pki.Pool()}, ForceAttemptHTTP2: http2}}
}

// send makes a request and returns the answer's node; any failure fails the test.
func (l *load) send(client *http.Client, method, target, value string) (index uint64, got string) {
	var body io.Reader
	if value != "" {
		body = strings.NewReader(url.Values{"value": {value}}.Encode())
	}
	req, err := http.NewRequest(method, l.url+"/v2/keys"+target, body)
	if err != nil {
		l.t.Error(err)
		return 0, ""
	}
	if value != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth("conftool", "conftool-1")
	}
	resp, err := client.Do(req)
	if err != nil {
		l.t.Errorf("%s %s: %v", method, target, err)
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
		l.t.Errorf("%s %s: %s, %v", method, target, resp.Status, err)
	}
	l.requests.Add(1)
	return answer.Node.ModifiedIndex, answer.Node.Value
}

// readAndWrite is a client that reads its own writes.
func (l *load) readAndWrite(id int) {
	client := l.client(id%2 == 0)
	defer client.CloseIdleConnections()
	key := "/conftool/" + strconv.Itoa(id)
	for n := 0; l.ctx.Err() == nil; n++ {
		value := fmt.Sprintf("%d-%d", id, n)
		l.send(client, "PUT", key, value)
		if _, got := l.send(client, "GET", key, ""); got != value {
			l.t.Errorf("%s holds %q, not %q", key, got, value)
		}
	}
}

// follow is a client that watches a sequence, and misses nothing of it.
func (l *load) follow(http2 bool, since uint64, until <-chan struct{}) {
	client := l.client(http2)
	defer client.CloseIdleConnections()
	for next := 1; ; next++ {
		index, got := l.send(client, "GET", "/conftool/sequence?wait=true&waitIndex="+strconv.FormatUint(since, 10), "")
		if got != strconv.Itoa(next) {
			l.t.Errorf("heard of %q, not %d", got, next)
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

// TestFiftyReloadsUnderLoadFailNoRequestAndLoseNoWatch changes everything that can
// change, well and badly.
func TestFiftyReloadsUnderLoadFailNoRequestAndLoseNoWatch(t *testing.T) {
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	l := &load{service: startService(t, fmt.Sprintf(seedConfig, etcd.URL()))}
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
	good := l.read("etcd-tlsproxy.toml")
	reload := func(what string, want int) {
		t.Helper()
		if status, body := l.ask("POST", "/-/reload"); status != want {
			t.Errorf("%s: %d %s", what, status, body)
		}
		l.send(writer, "PUT", "/conftool/sequence", strconv.FormatInt(l.written.Add(1), 10))
	}
	for n := range 50 {
		switch n % 5 {
		case 0:
			before := l.serial()
			l.writeCertificate()
			reload("a new certificate", 200)
			if l.serial() == before {
				t.Error("the old certificate is served")
			}
		case 1:
			key := l.read("server.key")
			l.writeCertificate()
			next := l.read("server.key")
			l.write("server.key", key)
			reload("a key of another certificate", 500)
			l.write("server.key", next)
			reload("its own key", 200)
		case 2:
			users := l.read("htpasswd")
			l.write("htpasswd", users[:len(users)-10])
			reload("half a file", 500)
			l.write("htpasswd", users)
			reload("all of it", 200)
		case 3:
			l.writeUsers(map[string]string{"root": fmt.Sprint("root-", n), "conftool": "conftool-1"})
			reload("another password", 200)
			if status := l.put("root", fmt.Sprint("root-", n-5)); status != 401 {
				t.Errorf("root's old password: %d", status)
			}
		case 4:
			l.write("etcd-tlsproxy.toml", good+fmt.Sprintf("\"/conftool/other%d\" = [\"root\"]\n", n))
			reload("a narrower table", 200)
			if status := l.put("conftool", "conftool-1"); status >= 300 {
				t.Errorf("a write that the new rule does not concern: %d", status)
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
