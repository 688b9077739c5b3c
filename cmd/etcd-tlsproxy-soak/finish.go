package main

import (
	"fmt"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/check"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// checkEnd checks the final state when the clients have stopped: all watchers must receive
// a last event, and etcd must contain what it acknowledged and nothing else.
func (s *soak) checkEnd() error {
	c := &client{soak: s, kind: "end", random: s.source(), via: s.prober}
	for i, h := range s.histories {
		if index := c.writeLast(h, i); index > 0 {
			again := time.Now().Add(time.Second)
			s.waitFor("the last event has reached all watchers", transport.Timeout, func() error {
				err := h.CheckReceived(index)
				// A watch without an index that started after the event waits for another one.
				if err != nil && time.Now().After(again) {
					again = time.Now().Add(time.Second)
					c.writeLast(h, i)
				}
				return err
			})
		}
		h.Close()
	}
	if err := s.checkEtcd(); err != nil {
		return fmt.Errorf("checking etcd: %w", err)
	}
	for _, target := range []string{"/soak/tagged?recursive=true&quorum=true", "/soak/tagged?recursive=true"} {
		c.readVersion(&transport.Request{Method: "GET", Target: target}, allKeys)
	}
	if s.store != nil {
		if err := s.checkStore(); err != nil {
			return fmt.Errorf("checking the store: %w", err)
		}
	}
	if s.files.Shadow {
		if err := s.checkShadow(); err != nil {
			return fmt.Errorf("checking the shadow: %w", err)
		}
	}
	return check.Audit(s.findings, s.files.Path("audit"))
}

// checkEtcd compares the content of etcd with the writes of the clients.
func (s *soak) checkEtcd() error {
	if err := s.counters.Check(s.findings, s.content); err != nil {
		return err
	}
	if err := s.posts.CheckAll(); err != nil {
		return err
	}
	return check.Refused(s.findings, s.content)
}

// writeLast writes until a write is acknowledged, and returns the index of the event, or
// 0 if none is.
func (c *client) writeLast(h *check.History, folder int) uint64 {
	for n := range 100 {
		if index := c.writeWatchedOnce(h, fmt.Sprintf("last-%d-%d", folder, n)); index > 0 {
			return index
		}
	}
	c.findings.Mismatch("end", "%s: no write was acknowledged after the work", h.Folder)
	return 0
}

// The limits of what the proxy may hold without clients, in addition to what it held at the
// start.
const (
	maxMoreGoroutines  = 8
	maxMoreDescriptors = 8
	maxMoreMemory      = 64 << 20
)

// waitForRelease waits until the proxy has released everything that it held for its
// clients.
func (s *soak) waitForRelease(r *report) {
	for limit := time.Now().Add(transport.Timeout); ; time.Sleep(200 * time.Millisecond) {
		usage, err := s.proxy.Usage()
		if err != nil {
			s.findings.Mismatch("end", "%v", err)
			return
		}
		r.End = usage
		if usage.Goroutines <= r.Start.Goroutines+maxMoreGoroutines && usage.Descriptors <= r.Start.Descriptors+maxMoreDescriptors &&
			usage.Connections == 0 && usage.Watches == 0 {
			break
		}
		if time.Now().After(limit) {
			s.findings.Mismatch("end", "%v after the last client: got the proxy holding %+v, want about what it held at the start, %+v", transport.Timeout, usage, r.Start)
			break
		}
	}
	if limit := 2*r.Start.Memory + maxMoreMemory; r.End.Memory > limit {
		s.findings.Mismatch("end", "memory of the proxy: got %d MiB, want at most %d", r.End.Memory>>20, limit>>20)
	}
}

// badLogLines returns what a proxy must never write.
func (s *soak) badLogLines() []string {
	if s.store == nil {
		return s.proxy.BadLogLines()
	}
	return append(s.proxy.BadLogLines(), s.store.companion.BadLogLines()...)
}

// close ends all that was started, after an error too.
func (s *soak) close() {
	if s.proxy != nil {
		_ = s.proxy.Stop() // the report has the error of the first one
	}
	if s.store != nil {
		s.store.close()
	}
}

// checkShadow checks what the proxy has compared with its shadow, when the clients have stopped: it follows, has
// compared reads and writes, and has found no difference.
func (s *soak) checkShadow() (err error) {
	s.waitFor("the shadow follows", transport.Timeout, func() error {
		if s.shadow, err = s.proxy.Shadow(); err != nil {
			return err
		}
		if !s.shadow.Following || s.shadow.Waiting > 0 {
			return fmt.Errorf("it follows: %t, and %d events wait", s.shadow.Following, s.shadow.Waiting)
		}
		return nil
	})
	if s.shadow == nil {
		return err
	}
	for kind, n := range s.shadow.Differences {
		s.findings.Mismatch("end", "answers of the v2 API differ from those of the shadow %d times in their %s; the log of the proxy has some", n, kind)
	}
	if s.shadow.Compared["read"] == 0 || s.shadow.Compared["write"] == 0 {
		s.findings.Mismatch("end", "compared with the shadow: %v and skipped %v, want reads and writes compared", s.shadow.Compared, s.shadow.Skipped)
	}
	return nil
}
