package proxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/v2store"
)

// TestNoWriteOfSeveralProxiesIsLostOrExecutedTwice kills the leader of three members again and again,
// while clients of three proxies write. A watcher moves from proxy to proxy with each event.
// ETCD_TLSPROXY_TEST_SEVERAL sets for how long that is repeated, with each release of etcd that is at hand.
func TestNoWriteOfSeveralProxiesIsLostOrExecutedTwice(t *testing.T) {
	t.Parallel()
	kills := 3
	if testing.Short() {
		kills = 1
	}
	text := os.Getenv("ETCD_TLSPROXY_TEST_SEVERAL")
	if text == "" {
		newStorm(t, newestRelease()).run(kills)
		return
	}
	length, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(length); time.Now().Before(end); {
		for _, release := range proxytest.Releases() {
			t.Run("etcd "+release.Name, func(t *testing.T) { newStorm(t, release).run(10) })
		}
	}
}

// storm is one run of writers, a watcher, and a leader that dies.
type storm struct {
	*several
	// ahead has one item for each event that the watcher has not seen yet. Its room is less than
	// the history.
	ahead chan struct{}
	// written counts the writes that were acknowledged, by proxy.
	written [3]atomic.Int64

	mu      sync.Mutex
	wrote   posts
	unknown int // increments of unknown outcome
	done    int // increments that were acknowledged

	events []v2store.Node // that the watcher has seen, in order
}

func newStorm(t *testing.T, release proxytest.Release) *storm {
	t.Helper()
	return &storm{several: startSeveral(t, release), ahead: make(chan struct{}, 500), wrote: posts{}}
}

const counterKey = "/eventlogging/counter"

func (s *storm) run(kills int) {
	_, from, _ := s.do(0, "PUT", counterKey, "value=0")
	ctx, stop := context.WithCancel(s.Context())
	defer stop()
	var writing, watching sync.WaitGroup
	watching.Go(func() { s.follow(from + 1) })
	for c := range 6 {
		writing.Go(func() { s.write(ctx, c) })
	}
	for n := range kills {
		s.waitForWrites()
		var leader proxytest.Member
		fronttest.Eventually(s, "there is a leader", func() (found bool) {
			var err error
			leader, err = s.cluster.Leader()
			return err == nil
		})
		leader.Close()
		s.waitForWrites()
		if err := leader.Start(); err != nil {
			s.Errorf("starting the member that was killed as the %d. leader: %v", n+1, err)
			break
		}
	}
	stop()
	writing.Wait()
	fronttest.Eventually(s, "the last write is carried out", func() bool {
		status, _, _ := s.do(0, "PUT", "/eventlogging/last", "value=1")
		return status == 201
	})
	watching.Wait()
	s.check(from)
}

// waitForWrites waits until clients of each proxy have written.
func (s *storm) waitForWrites() {
	for i := range s.written {
		before := s.written[i].Load()
		fronttest.Eventually(s, fmt.Sprintf("writes through proxy %d are acknowledged", i), func() bool { return s.written[i].Load() >= before+20 })
	}
}

// write appends to the queue and increments the counter in turn, through one of the proxies.
func (s *storm) write(ctx context.Context, c int) {
	through, wrote := c%len(s.fronts), posts{}
	client := s.fronts[through].Client("h1")
	for n := 0; ctx.Err() == nil; n++ {
		s.ahead <- struct{}{}
		outcome := ""
		if n%2 == 0 {
			outcome = wrote.write(s.T, s.fronts[through], client, fmt.Sprintf("%d-%d", c, n))
		} else {
			outcome = s.increment(through)
		}
		if outcome == "written" {
			s.written[through].Add(1)
			continue
		}
		select {
		case <-s.ahead:
		default: // the watcher took it, for the event of a write whose outcome was unknown
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.wrote, wrote)
}

// increment raises the counter if nobody else does so at the same time.
func (s *storm) increment(through int) (outcome string) {
	status, _, body := s.do(through, "GET", counterKey+"?quorum=true", "")
	var e struct{ Node v2store.Node }
	if status != 200 || json.Unmarshal([]byte(body), &e) != nil {
		return "not sent"
	}
	n, err := strconv.Atoi(*e.Node.Value)
	if err != nil {
		s.Errorf("the counter is %q, want a number", *e.Node.Value)
		return "not sent"
	}
	status, _, body = s.do(through, "PUT", counterKey, fmt.Sprintf("value=%d&prevIndex=%d", n+1, e.Node.ModifiedIndex))
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case status == 200, strings.Contains(body, `"The answer is lost"`):
		s.done++
		return "written"
	case status == 412, body == gate.RefuseStore.Body, body == gate.RefuseUpstreamBusy.Body:
		return "not sent"
	}
	s.unknown++
	return "unknown"
}

// follow watches through one proxy after the other, until it sees the last event.
func (s *storm) follow(next uint64) {
	for i := 0; ; i = (i + 1) % len(s.fronts) {
		resp, err := s.clients[i].Get(fmt.Sprintf("%s/v2/keys/eventlogging?wait=true&recursive=true&waitIndex=%d", s.fronts[i].URL(), next))
		if err != nil {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode == http.StatusServiceUnavailable {
			continue // broken off, or a proxy whose mirror is not usable
		}
		var e struct{ Node v2store.Node }
		if err := json.Unmarshal(body, &e); err != nil || resp.StatusCode != 200 || e.Node.Value == nil || e.Node.ModifiedIndex < next {
			s.Errorf("watching since %d through proxy %d: got %d %s, want an event since then", next, i, resp.StatusCode, body)
			return
		}
		s.events = append(s.events, e.Node)
		if e.Node.Key == "/eventlogging/last" {
			return
		}
		next = e.Node.ModifiedIndex + 1
		select {
		case <-s.ahead:
		default: // the outcome of this write was unknown
		}
	}
}

// check compares what the clients were told, what the watcher has seen, and what the store has.
func (s *storm) check(from uint64) {
	s.equal("/eventlogging?recursive=true&sorted=true&quorum=true")
	s.wrote.check(s.T, s.clients[0], s.fronts[0].URL())
	values := queued(s.T, s.clients[1], s.fronts[1].URL(), "/eventlogging/queue")
	counter := 0
	for _, e := range s.events {
		if e.Key != counterKey {
			values[*e.Value]--
			continue
		}
		counter++
		if *e.Value != strconv.Itoa(counter) {
			s.Errorf("event %d of the counter has the value %s at the index %d, want each value once and in order", counter, *e.Value, e.ModifiedIndex)
			counter, _ = strconv.Atoi(*e.Value)
		}
	}
	values["1"]++ // of the last key
	for value, n := range values {
		if n != 0 {
			s.Errorf("the watcher has seen the entry %s of the queue %d times, want once", value, 1-n)
		}
	}
	if counter < s.done || counter > s.done+s.unknown {
		s.Errorf("the counter is %d after %d increments, and %d of unknown outcome", counter, s.done, s.unknown)
	}
	outcomes := map[string]int{}
	for _, outcome := range s.wrote {
		outcomes[outcome]++
	}
	s.Logf("since the index %d: %d events seen; queue: %v; counter: %d, of %d acknowledged and %d unknown", from, len(s.events), outcomes, counter, s.done, s.unknown)
}
