package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// counters is the number of clients that count, and of those that watch them.
const counters = 6

// counting has clients that increment a counter each through one proxy, and clients that watch these through another.
type counting struct {
	t        *testing.T
	urls     []string // of the proxies
	password string
	client   *http.Client
	ctx      context.Context
	stop     context.CancelFunc
	writers  sync.WaitGroup
	watchers sync.WaitGroup

	mu      sync.Mutex
	values  [counters]int // that were acknowledged, or read later
	heard   [counters]int
	last    [counters]bool // the counter has its last value
	longest time.Duration  // of a write, until it was acknowledged
	saw     map[string]int // what clients saw beside success
}

func startCounting(t *testing.T, s *story) *counting {
	t.Helper()
	first := filepath.Join(s.m.root, "conf1001")
	password, err := os.ReadFile(filepath.Join(first, "root/etcd.password"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(first, "etc/ssl/certs/ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 2 * counters}
	t.Cleanup(transport.CloseIdleConnections)
	c := &counting{t: t, password: strings.TrimSpace(string(password)), client: &http.Client{Transport: transport, Timeout: 30 * time.Second}, saw: map[string]int{}}
	for n := 1; n <= machineCount; n++ {
		c.urls = append(c.urls, "https://"+s.m.address(n)+":4001/v2/keys/conftool/counter")
	}
	c.ctx, c.stop = context.WithCancel(t.Context())
	t.Cleanup(c.wait)
	for i := range counters {
		c.writers.Go(func() { c.count(i) })
		c.watchers.Go(func() { c.watch(i) })
	}
	return c
}

// counted is what an answer says about a counter.
type counted struct {
	status, value, code int
	index, modified     uint64
	body                string
}

// send sends a request about a counter through a proxy.
func (c *counting) send(ctx context.Context, proxy, counter int, method, query string, form url.Values) (a counted, err error) {
	r, err := http.NewRequestWithContext(ctx, method, c.urls[proxy%machineCount]+strconv.Itoa(counter)+query, strings.NewReader(form.Encode()))
	if err != nil {
		return a, err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.SetBasicAuth("root", c.password)
	response, err := c.client.Do(r)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	var body struct {
		ErrorCode int
		Node      struct {
			Value         string
			ModifiedIndex uint64
		}
	}
	if err == nil {
		err = json.Unmarshal(text, &body)
	}
	a = counted{status: response.StatusCode, code: body.ErrorCode, modified: body.Node.ModifiedIndex, body: string(text)}
	a.value, _ = strconv.Atoi(body.Node.Value)
	a.index, _ = strconv.ParseUint(response.Header.Get("X-Etcd-Index"), 10, 64)
	return a, err
}

func (c *counting) see(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.saw[what]++
}

// count increments a counter, each time on condition of the value before. A write without an answer that is known
// must have been executed once or not at all.
func (c *counting) count(i int) {
	doubtful, newest, began := false, uint64(0), time.Now()
	for n := 0; c.ctx.Err() == nil; {
		form := url.Values{"value": {strconv.Itoa(n + 1)}, "prevExist": {"false"}}
		if n > 0 {
			form = url.Values{"value": {strconv.Itoa(n + 1)}, "prevValue": {strconv.Itoa(n)}}
		}
		a, err := c.send(context.WithoutCancel(c.ctx), i, i, "PUT", "", form)
		if err == nil && a.index > 0 {
			if a.index < newest {
				c.t.Errorf("writer %d: got the index %d after %d", i, a.index, newest)
			}
			newest = a.index
		}
		switch {
		case err == nil && a.status < 300:
			n, doubtful = n+1, false
			c.mu.Lock()
			c.values[i], c.longest = n, max(c.longest, time.Since(began))
			c.mu.Unlock()
			began = time.Now()
			continue
		case err == nil && a.status == 503 && strings.Contains(a.body, "nothing was carried out"):
			c.see("a write was refused")
			continue
		case err == nil && a.status == 412 && !doubtful:
			c.t.Errorf("writer %d: %d is not the value any more: %s", i, n, a.body)
			return
		case err == nil && a.status != 412:
			c.see(fmt.Sprint("a write got ", a.status))
		case err != nil:
			c.see("a connection was lost by a write")
		}
		doubtful = true
		if n, err = c.settle(i, n); err != nil {
			c.t.Errorf("writer %d: %v", i, err)
			return
		}
	}
}

// settle reads the value of a counter after a write whose outcome is not known.
func (c *counting) settle(i, n int) (int, error) {
	for c.ctx.Err() == nil {
		a, err := c.send(context.WithoutCancel(c.ctx), i, i, "GET", "?quorum=true", nil)
		switch {
		case err != nil || a.status == 503 || a.status == 500:
			time.Sleep(20 * time.Millisecond) //nolint:forbidigo // a proxy is restarted, which signals nothing
		case a.code == 100 && n == 0:
			return 0, nil
		case a.status == 200 && (a.value == n || a.value == n+1):
			if a.value > n {
				c.see("a write without an answer was executed")
			}
			c.mu.Lock()
			c.values[i] = a.value
			c.mu.Unlock()
			return a.value, nil
		default:
			return 0, fmt.Errorf("the value is %s, want %d or %d", a.body, n, n+1)
		}
	}
	return n, nil
}

// watch follows a counter through another proxy than the one that counts, until its last value. It must hear of
// each value in order, except of those that it reads after the error 401.
func (c *counting) watch(i int) {
	next := uint64(1)
	for !c.finished(i) {
		a, err := c.send(context.WithoutCancel(c.ctx), i+1, i, "GET", fmt.Sprint("?wait=true&waitIndex=", next), nil)
		switch {
		case err != nil:
			c.see("a watch was broken off")
			time.Sleep(20 * time.Millisecond) //nolint:forbidigo // a proxy is restarted, which signals nothing
			continue
		case a.code == 401:
			c.see("a watch asked for an old index")
			if a, err = c.send(context.WithoutCancel(c.ctx), i+1, i, "GET", "?quorum=true", nil); err != nil || a.status != 200 {
				continue
			}
			next = a.index + 1
			c.hear(i, a.value, false)
			continue
		case a.status != 200:
			c.see(fmt.Sprint("a watch got ", a.status))
			time.Sleep(20 * time.Millisecond) //nolint:forbidigo // a proxy is restarted, which signals nothing
			continue
		}
		if a.modified < next {
			c.t.Errorf("watcher %d: got the index %d, want one from %d on", i, a.modified, next)
			return
		}
		next = a.modified + 1
		c.hear(i, a.value, true)
	}
}

// hear takes note of a value, which must be the next one of an event.
func (c *counting) hear(i, value int, event bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.t.Failed() {
		return
	}
	if value < c.heard[i] || event && value != c.heard[i]+1 && c.heard[i] > 0 {
		c.t.Errorf("watcher %d: got %d after %d", i, value, c.heard[i])
	}
	c.heard[i] = value
}

func (c *counting) finished(i int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last[i] && c.heard[i] >= c.values[i]
}

// progress waits until all counters have grown and all watchers have heard of that.
func (c *counting) progress() {
	c.t.Helper()
	c.mu.Lock()
	from := c.values
	c.mu.Unlock()
	for limit := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { //nolint:forbidigo // clients of other processes
		c.mu.Lock()
		values, heard := c.values, c.heard
		c.mu.Unlock()
		grown := 0
		for i := range values {
			if values[i] >= from[i]+5 && heard[i] >= from[i]+5 {
				grown++
			}
		}
		if grown == counters {
			return
		}
		if time.Now().After(limit) || c.t.Failed() {
			c.t.Fatalf("the counters were %v, and are %v after a minute; those who watch have heard of %v", from, values, heard)
		}
	}
}

// end stops the clients, and compares what they know with what the proxies answer.
func (c *counting) end() {
	c.t.Helper()
	c.stop()
	c.writers.Wait()
	// The watchers wait for one more event each.
	for i := range counters {
		c.mu.Lock()
		before := strconv.Itoa(c.values[i])
		c.values[i], c.last[i] = c.values[i]+1, true
		form := url.Values{"value": {strconv.Itoa(c.values[i])}, "prevValue": {before}}
		c.mu.Unlock()
		if a, err := c.send(context.Background(), i, i, "PUT", "", form); err != nil || a.status != 200 {
			c.t.Errorf("the last write of %d: got %v and %v, want that the value was %s", i, a, err, before)
		}
	}
	c.watchers.Wait()
	for proxy := range machineCount {
		for i := range counters {
			if a, err := c.send(context.Background(), proxy, i, "GET", "?quorum=true", nil); err != nil || a.value != c.values[i] {
				c.t.Errorf("counter %d through the proxy %d: got %v and %v, want %d", i, proxy, a, err, c.values[i])
			}
		}
	}
	var seen []string
	for _, what := range slices.Sorted(maps.Keys(c.saw)) {
		seen = append(seen, fmt.Sprintf("%s: %d", what, c.saw[what]))
	}
	c.t.Logf("the counters have got to %v; no increment needed more than %v; the clients saw: %s", c.values, c.longest.Round(time.Millisecond), strings.Join(seen, ", "))
}

// wait ends the clients of a test that has failed.
func (c *counting) wait() {
	c.stop()
	c.mu.Lock()
	for i := range counters {
		c.last[i], c.heard[i] = true, max(c.heard[i], c.values[i])
	}
	c.mu.Unlock()
	c.client.CloseIdleConnections()
	c.writers.Wait()
}
