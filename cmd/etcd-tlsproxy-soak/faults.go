package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// fault is a way in which etcd, the connections to it or another proxy fails.
type fault struct {
	kind string
	// inject lets it happen. The random choices are the caller's.
	inject func(*rand.Rand) error
}

// injectFaults makes etcd, or the connections to it, fail from time to time.
func (s *soak) injectFaults() error {
	random := s.source()
	faults := []fault{{"etcd killed", s.killEtcd}, {"etcd stalled", s.stallEtcd}, {"connections to etcd severed", s.severConnections}}
	early := faults
	if s.store != nil {
		faults = append(faults, fault{"keeper lost", s.loseKeeper}, fault{"sessions ended", s.endSessions})
		early = append(faults, fault{"revisions forgotten", s.forgetRevisions})
	}
	deck, earlyDeck := newDeck(random, faults...), newDeck(random, early...)
	for {
		sleep(s.working, time.Duration(1000+random.IntN(6000))*time.Millisecond)
		if s.working.Err() != nil {
			return nil
		}
		from := deck
		if s.firstHalf.Err() == nil {
			from = earlyDeck
		}
		f := from.draw()
		s.findings.CountFault(f.kind)
		if err := f.inject(random); err != nil {
			return fmt.Errorf("%s: %w", f.kind, err)
		}
	}
}

// outage lets something happen during which requests may fail, and waits until etcd is back.
func (s *soak) outage(do func() error) error {
	s.outages.Start()
	if err := do(); err != nil {
		return err
	}
	s.waitFor(etcdIsBack, transport.Timeout, s.writeProbe)
	s.outages.End()
	return nil
}

func (s *soak) killEtcd(random *rand.Rand) error {
	return s.outage(func() error {
		s.etcd.Kill()
		sleep(s.working, time.Duration(random.IntN(1500))*time.Millisecond)
		return s.etcd.Restart()
	})
}

func (s *soak) stallEtcd(random *rand.Rand) error {
	return s.outage(func() error {
		s.etcd.Pause()
		sleep(s.working, time.Duration(100+random.IntN(1900))*time.Millisecond)
		s.etcd.Resume()
		return nil
	})
}

func (s *soak) severConnections(random *rand.Rand) error {
	return s.outage(func() error {
		for range 1 + random.IntN(20) {
			s.etcd.Cut()
			s.etcd.Mend()
			sleep(s.working, time.Duration(random.IntN(50))*time.Millisecond)
		}
		return nil
	})
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

// deck draws at random, each card as often as the others.
type deck[T any] struct {
	random      *rand.Rand
	cards, left []T
}

func newDeck[T any](random *rand.Rand, cards ...T) *deck[T] {
	return &deck[T]{random: random, cards: cards}
}

func (d *deck[T]) draw() T {
	if len(d.left) == 0 {
		d.left = append(d.left, d.cards...)
		d.random.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	card := d.left[0]
	d.left = d.left[1:]
	return card
}

// The awaited conditions whose time includes outages.
const (
	etcdIsBack  = "etcd is back"
	keeperMoved = "another proxy expires keys"
)

// waitFor waits until a check succeeds. If that takes longer than limit, waitFor reports a
// mismatch and continues to wait, because the run continues.
func (s *soak) waitFor(what string, limit time.Duration, check func() error) {
	start := time.Now()
	late := false
	for {
		err := check()
		// The duration of a check that waits for etcd does not depend on the proxy.
		took := time.Since(start)
		if what != etcdIsBack && what != keeperMoved {
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
