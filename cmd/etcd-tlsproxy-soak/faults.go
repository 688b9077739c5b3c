package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// injectFaults makes etcd, or the connections to it, fail from time to time.
func (s *soak) injectFaults() error {
	random := s.source()
	deck := newDeck(random, "etcd killed", "etcd stalled", "connections to etcd severed")
	for {
		sleep(s.working, time.Duration(1000+random.IntN(6000))*time.Millisecond)
		if s.working.Err() != nil {
			return nil
		}
		kind := deck.draw()
		s.findings.CountFault(kind)
		s.outages.Start()
		switch kind {
		case "etcd killed":
			s.etcd.Kill()
			sleep(s.working, time.Duration(random.IntN(1500))*time.Millisecond)
			if err := s.etcd.Restart(); err != nil {
				return fmt.Errorf("starting etcd again: %w", err)
			}
		case "etcd stalled":
			s.etcd.Pause()
			sleep(s.working, time.Duration(100+random.IntN(1900))*time.Millisecond)
			s.etcd.Resume()
		default:
			for range 1 + random.IntN(20) {
				s.etcd.BreakConnections()
				sleep(s.working, time.Duration(random.IntN(50))*time.Millisecond)
			}
		}
		s.waitFor(etcdIsBack, transport.Timeout, s.writeProbe)
		s.outages.End()
	}
}

// writeProbe reports whether the proxy carries a write to etcd.
func (s *soak) writeProbe() error {
	ctx, cancel := context.WithTimeout(context.Background(), transport.Timeout)
	defer cancel()
	got, err := s.prober.Do(ctx, &transport.Request{Method: "PUT", Target: "/soak/probe", User: "root", Form: "value=1"})
	if err == nil && got.Status >= 300 {
		err = fmt.Errorf("a write: got status %d, want 200 or 201: %s", got.Status, got.Body)
	}
	return err
}

// deck draws kinds at random, each as often as the others.
type deck struct {
	random *rand.Rand
	kinds  []string
	left   []string
}

func newDeck(random *rand.Rand, kinds ...string) *deck { return &deck{random: random, kinds: kinds} }

func (d *deck) draw() string {
	if len(d.left) == 0 {
		d.left = append(d.left, d.kinds...)
		d.random.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	kind := d.left[0]
	d.left = d.left[1:]
	return kind
}

// etcdIsBack is the only awaited condition whose time includes outages.
const etcdIsBack = "etcd is back"

// waitFor waits until a check succeeds. If that takes longer than limit, waitFor reports a
// mismatch and continues to wait, because the run continues.
func (s *soak) waitFor(what string, limit time.Duration, check func() error) {
	start := time.Now()
	late := false
	for {
		err := check()
		// The duration of a check that waits for etcd does not depend on the proxy.
		took := time.Since(start)
		if what != etcdIsBack {
			took -= s.outages.Duration(start, time.Now())
		}
		if err == nil {
			s.findings.RecordDelay(what, took)
			if took > limit && !late {
				s.findings.Mismatch("faults", "%s: it took %v, want at most %v", what, took.Round(time.Millisecond), limit)
			}
			return
		}
		if took > limit && !late {
			late = true
			s.findings.Mismatch("faults", "%s: not within %v: %v", what, limit, err)
		}
		if time.Since(start) > transport.Timeout || s.proxy.HasExited() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
