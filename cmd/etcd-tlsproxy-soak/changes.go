package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/check"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/env"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// changeFiles changes the proxy's files from time to time. No change may fail a request,
// and each must take effect in time. The report uses the names of the kinds.
func (s *soak) changeFiles() error {
	random := s.source()
	deck := newDeck(random, []fault{
		{"certificate rotated", s.rotateCertificate},
		{"user removed and added", s.removeUser},
		{"rules narrowed and widened", s.narrowRules},
		{"configuration broken and mended", s.breakConfiguration},
		{"storm of SIGHUP", s.sendManyReloads},
		{"lanes, sharing and pool switched", s.switchSettings},
	}...)
	for {
		sleep(s.working, time.Duration(random.IntN(1500))*time.Millisecond)
		if s.working.Err() != nil || s.proxy.HasExited() {
			return nil
		}
		change := deck.draw()
		s.findings.CountFault(change.kind)
		if err := change.inject(random); err != nil {
			return fmt.Errorf("%s: %w", change.kind, err)
		}
	}
}

func (s *soak) rotateCertificate(*rand.Rand) error {
	serial, err := s.files.RotateCertificate()
	if err != nil {
		return err
	}
	s.waitFor("a new certificate is served", s.promise, func() error {
		served, err := s.files.ServedSerial()
		if err == nil && served.Cmp(serial) != 0 {
			err = fmt.Errorf("the serial number: got %d, want %d", served, serial)
		}
		return err
	})
	return nil
}

// checkAdmission checks whether the proxy admits a request. The answer of etcd does not
// matter.
func (s *soak) checkAdmission(r *transport.Request, want bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), transport.Timeout)
	defer cancel()
	got, err := s.prober.Do(ctx, r)
	if err != nil {
		return err
	}
	if got.Status == 401 {
		time.Sleep(100 * time.Millisecond) // an address has 20 failed logins, and then has to wait
	}
	if admitted := got.Status != 401 && got.Status != 429; admitted != want {
		return fmt.Errorf("%v by %s: got admitted=%t (status %d, %s), want %t", r, r.User, admitted, got.Status, got.Body, want)
	}
	return nil
}

// withdrawAndGrant changes files that withdraw a permission, and those that grant it
// again.
func (s *soak) withdrawAndGrant(p *permission, random *rand.Rand, what string, r *transport.Request, write func(granted bool) error) error {
	for _, granted := range []bool{false, true} {
		p.startChange(granted)
		if err := write(granted); err != nil {
			return err
		}
		change := "withdrawn: " + what
		if granted {
			change = "granted: " + what
		}
		s.waitFor(change, s.promise, func() error { return s.checkAdmission(r, granted) })
		p.endChange()
		sleep(s.working, time.Duration(random.IntN(1000))*time.Millisecond)
	}
	return nil
}

func (s *soak) removeUser(random *rand.Rand) error {
	r := &transport.Request{Method: "PUT", Target: "/soak/guest/probe", User: "guest", Form: "value=1"}
	return s.withdrawAndGrant(s.guest, random, "guest may log in", r, s.files.WriteUsers)
}

// narrowRules also withdraws the permission of a watch that waits, which must end then.
func (s *soak) narrowRules(random *rand.Rand) error {
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	watcher := s.newProber()
	defer func() {
		cancel()
		<-ended
		watcher.Close()
	}()
	go func() {
		defer close(ended)
		// The way in which it ends is not checked, because etcd may be down.
		_, _ = watcher.Do(ctx, &transport.Request{Method: "GET", Target: "/soak/narrow/watched?wait=true"})
	}()
	r := &transport.Request{Method: "PUT", Target: "/soak/narrow/probe", User: "worker", Form: "value=1"}
	return s.withdrawAndGrant(s.narrow, random, "worker may write /soak/narrow", r, func(granted bool) error {
		if err := s.files.Configure(func(c *env.Configuration) { c.Narrow = !granted }, ""); err != nil || granted {
			return err
		}
		s.waitFor("a watch ends without its permission", s.promise, func() error {
			select {
			case <-ended:
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
	for _, c := range []struct {
		what, more string
		successful float64 // of the metric
	}{
		{"a broken configuration is noticed", broken[random.IntN(len(broken))], 0},
		{"a mended configuration is in effect", "", 1},
	} {
		if err := s.files.Configure(func(c *env.Configuration) { c.Revision++ }, c.more); err != nil {
			return err
		}
		s.waitFor(c.what, s.promise, func() error {
			m, err := s.proxy.Metrics()
			if got := m["etcd_tlsproxy_config_last_reload_successful"]; err == nil && got != c.successful {
				err = fmt.Errorf("the metric of the last reload: got %v, want %v", got, c.successful)
			}
			return err
		})
		sleep(s.working, time.Duration(random.IntN(1000))*time.Millisecond)
	}
	return nil
}

// sendManyReloads moves the audit log away, as logrotate does, and sends many SIGHUPs.
func (s *soak) sendManyReloads(random *rand.Rand) error {
	if err := os.Rename(s.files.Path("audit"), s.files.Path("audit.1")); err != nil {
		return err
	}
	for range 50 + random.IntN(100) {
		s.proxy.Signal(syscall.SIGHUP)
		if random.IntN(4) == 0 {
			if err := s.files.Configure(func(c *env.Configuration) { c.Revision++ }, ""); err != nil {
				return err
			}
		}
		time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
	}
	s.waitFor("the audit log is opened again", s.promise, func() error {
		info, err := os.Stat(s.files.Path("audit"))
		if err == nil && info.Size() == 0 {
			err = errors.New("it is empty")
		}
		return err
	})
	return check.Audit(s.findings, s.files.Path("audit.1"))
}

// switchSettings changes how requests are served: the lane, the sharing, the pool.
func (s *soak) switchSettings(random *rand.Rand) error {
	err := s.files.Configure(func(c *env.Configuration) {
		c.FastLane, c.ShareReads, c.ShareWatches = random.IntN(2) == 0, random.IntN(3) > 0, random.IntN(3) > 0
		c.UpstreamTimeout = env.UpstreamTimeout + random.IntN(3)
	}, "")
	if err != nil {
		return err
	}
	return s.proxy.Reload()
}
