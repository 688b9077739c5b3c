package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"
)

// change is one way to change the proxy's files, and to see that it has noticed.
// None of them may fail a request.
type change struct {
	kind string
	do   func(*rand.Rand) error
}

func (s *soak) changes() []change {
	return []change{
		{"certificate rotated", s.rotate},
		{"user removed and added", s.dismiss},
		{"rules narrowed and widened", s.narrowRules},
		{"configuration broken and mended", s.breakConfiguration},
		{"storm of SIGHUP", s.storm},
		{"lanes, sharing and pool switched", s.switchOver},
	}
}

// changeFiles makes changes, one after the other, and ends with all as it was.
func (s *soak) changeFiles() error {
	random := s.source()
	do := make(map[string]func(*rand.Rand) error)
	var kinds []string
	for _, c := range s.changes() {
		do[c.kind] = c.do
		kinds = append(kinds, c.kind)
	}
	deck := newDeck(random, kinds...)
	for {
		sleep(s.work, time.Duration(random.IntN(1500))*time.Millisecond)
		if s.work.Err() != nil || s.front.gone() {
			return nil
		}
		kind := deck.draw()
		s.tally.fault(kind)
		if err := do[kind](random); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
}

func (s *soak) rotate(*rand.Rand) error {
	serial, err := s.writeCertificate()
	if err != nil {
		return err
	}
	s.await("a new certificate is served", s.promise, func() error {
		now, err := s.serial()
		if err == nil && now.Cmp(serial) != 0 {
			err = fmt.Errorf("the serial number is %d, and should be %d", now, serial)
		}
		return err
	})
	return nil
}

// admits asks whether the proxy lets a request through; whether etcd answers it does
// not matter.
func (s *soak) admits(r *request, want bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got, err := s.prober.ask(ctx, r)
	if err != nil {
		return err
	}
	if got.status == 401 {
		time.Sleep(100 * time.Millisecond) // a login that fails costs one of 20 tries
	}
	if admitted := got.status != 401 && got.status != 429; admitted != want {
		return fmt.Errorf("%v by %s: %d %s", r, r.user, got.status, got.body)
	}
	return nil
}

// turn changes files that open or close a gate, there and back.
func (s *soak) turn(g *gate, random *rand.Rand, what string, r *request, write func(open bool) error) error {
	for _, open := range []bool{false, true} {
		g.turn(open)
		if err := write(open); err != nil {
			return err
		}
		s.await(what+map[bool]string{true: " again", false: " no more"}[open], s.promise, func() error { return s.admits(r, open) })
		g.settle()
		sleep(s.work, time.Duration(random.IntN(1000))*time.Millisecond)
	}
	return nil
}

func (s *soak) dismiss(random *rand.Rand) error {
	r := &request{method: "PUT", target: "/soak/guest/probe", user: "guest", form: "value=1"}
	return s.turn(s.guest, random, "guest may log in", r, s.writeUsers)
}

// narrowRules also takes the right to a watch that runs: it must end.
func (s *soak) narrowRules(random *rand.Rand) error {
	cut := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watch := s.newProber()
	defer watch.close()
	go func() {
		defer close(cut)
		// How it ends is not looked at: etcd may be down just now.
		_, _ = watch.ask(ctx, &request{method: "GET", target: "/soak/narrow/watched?wait=true"})
	}()
	r := &request{method: "PUT", target: "/soak/narrow/probe", user: "worker", form: "value=1"}
	return s.turn(s.narrow, random, "worker may write /soak/narrow", r, func(open bool) error {
		if err := s.change(func(c *configuration) { c.narrow = !open }, ""); err != nil || open {
			return err
		}
		s.await("a watch ends that is not allowed any more", s.promise, func() error {
			select {
			case <-cut:
				return nil
			default:
				return errors.New("it still waits")
			}
		})
		return nil
	})
}

func (s *soak) breakConfiguration(random *rand.Rand) error {
	broken := []string{"[acls\n", "unknown_key = 1\n", `"/nobody" = ["no:body"]` + "\n", "[limits]\nwatches = 1\n", "[tls]\nkey = \"missing\"\n"}
	for _, more := range []string{broken[random.IntN(len(broken))], ""} {
		if err := s.change(func(c *configuration) { c.remark++ }, more); err != nil {
			return err
		}
		want := map[bool]float64{true: 1, false: 0}[more == ""]
		s.await(map[bool]string{true: "a mended configuration is taken", false: "a broken configuration is noticed"}[more == ""], s.promise, func() error {
			m, err := s.front.metrics()
			if err == nil && m["etcd_tlsproxy_config_last_reload_successful"] != want {
				err = errors.New("the metric of the last reload has not changed")
			}
			return err
		})
		sleep(s.work, time.Duration(random.IntN(1000))*time.Millisecond)
	}
	return nil
}

// storm moves the audit log away, as logrotate does, and asks for many reloads.
func (s *soak) storm(random *rand.Rand) error {
	if err := os.Rename(s.path("audit"), s.path("audit.1")); err != nil {
		return err
	}
	for range 50 + random.IntN(100) {
		s.front.signal(syscall.SIGHUP)
		if random.IntN(4) == 0 {
			if err := s.change(func(c *configuration) { c.remark++ }, ""); err != nil {
				return err
			}
		}
		time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
	}
	s.await("the audit log is opened again", s.promise, func() error {
		info, err := os.Stat(s.path("audit"))
		if err == nil && info.Size() == 0 {
			err = errors.New("nothing is written to it")
		}
		return err
	})
	return s.checkAudit("audit.1")
}

// switchOver changes how requests are served: the lane, the sharing, the pool.
func (s *soak) switchOver(random *rand.Rand) error {
	err := s.change(func(c *configuration) {
		c.fast, c.reads, c.watches = random.IntN(2) == 0, random.IntN(3) > 0, random.IntN(3) > 0
		c.patience = 30 + random.IntN(3)
	}, "")
	if err == nil {
		err = s.front.reload()
	}
	return err
}
