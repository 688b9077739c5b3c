package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// breakEtcd lets etcd, or the way to it, fail now and then.
func (s *soak) breakEtcd() error {
	random := s.source()
	deck := newDeck(random, "etcd killed", "etcd stalled", "connections to etcd severed")
	for {
		sleep(s.work, time.Duration(1000+random.IntN(6000))*time.Millisecond)
		if s.work.Err() != nil {
			return nil
		}
		kind := deck.draw()
		s.tally.fault(kind)
		s.outages.begin()
		switch kind {
		case "etcd killed":
			s.etcd.Die()
			sleep(s.work, time.Duration(random.IntN(1500))*time.Millisecond)
			if err := s.etcd.Revive(); err != nil {
				return fmt.Errorf("etcd does not come back: %w", err)
			}
		case "etcd stalled":
			s.etcd.Stall()
			sleep(s.work, time.Duration(100+random.IntN(1900))*time.Millisecond)
			s.etcd.Wake()
		default:
			for range 1 + random.IntN(20) {
				s.etcd.Sever()
				sleep(s.work, time.Duration(random.IntN(50))*time.Millisecond)
			}
		}
		s.await(etcdIsBack, patience, func() error {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			got, err := s.prober.ask(ctx, &request{method: "PUT", target: "/soak/probe", user: "root", form: "value=1"})
			if err == nil && got.status >= 300 {
				err = fmt.Errorf("%d %s", got.status, got.body)
			}
			return err
		})
		s.outages.end()
	}
}

const etcdIsBack = "etcd is back"

// deck draws from a few kinds so that none is left out for long.
type deck struct {
	random *rand.Rand
	all    []string
	left   []string
}

func newDeck(random *rand.Rand, all ...string) *deck { return &deck{random: random, all: all} }

func (d *deck) draw() string {
	if len(d.left) == 0 {
		d.left = append(d.left, d.all...)
		d.random.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	kind := d.left[0]
	d.left = d.left[1:]
	return kind
}

// await waits for what must be the case soon. If it takes longer than is promised,
// that is a mismatch, and the wait goes on, so that the run does.
func (s *soak) await(what string, within time.Duration, is func() error) {
	began := time.Now()
	late := false
	for {
		err := is()
		// A probe that waits for etcd tells nothing about the proxy.
		took := time.Since(began)
		if what != etcdIsBack {
			took -= s.outages.during(began, time.Now())
		}
		if err == nil {
			s.tally.took(what, took)
			if took > within && !late {
				s.tally.mismatch("faults", "%s: it took %v, and should take at most %v", what, took.Round(time.Millisecond), within)
			}
			return
		}
		if took > within && !late {
			late = true
			s.tally.mismatch("faults", "%s: not after %v: %v", what, within, err)
		}
		if time.Since(began) > patience || s.front.gone() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
