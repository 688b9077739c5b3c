package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// maxVacancy is how long a store may have no keeper: the place of one that died is its own for 5 s, and on a
// busy machine an election takes some more.
const maxVacancy = 15 * time.Second

// loseKeeper makes the process whose proxy expires keys die or stall, so that the other one has to take over. The
// companion's death must not be noticed by any client.
func (s *soak) loseKeeper(random *rand.Rand) error {
	before, err := s.store.direct.Keeper()
	if err != nil {
		return err
	}
	companionKeeps, err := s.store.companion.KeepsStore()
	if err != nil {
		return err
	}
	if companionKeeps {
		s.findings.CountFault("keeper killed")
		s.store.companion.Kill()
		s.waitForKeeper(before)
		s.store.companion, err = s.store.again()
		return err
	}
	s.findings.CountFault("keeper stalled")
	return s.outage(func() error {
		s.proxy.Signal(syscall.SIGSTOP)
		s.waitForKeeper(before)
		sleep(s.working, time.Duration(random.IntN(6000))*time.Millisecond) // its session ends, or does not
		s.proxy.Signal(syscall.SIGCONT)
		return nil
	})
}

// waitForKeeper waits until the store has another keeper than that of a revision.
func (s *soak) waitForKeeper(before int64) {
	s.waitFor(keeperMoved, maxVacancy, func() error {
		now, err := s.store.direct.Keeper()
		if err == nil && (now == 0 || now == before) {
			err = fmt.Errorf("the key of the keeper is of revision %d", now)
		}
		return err
	})
}

// endSessions ends the sessions of both proxies. No client must notice: the proxies begin others, and
// repeat the writes that failed.
func (s *soak) endSessions(*rand.Rand) error {
	n, err := s.store.direct.EndSessions()
	if err == nil && n == 0 {
		err = errors.New("there are none")
	}
	return err
}

// forgetRevisions makes etcd forget revisions that the proxy has not seen. Its copy of the store has to be
// loaded again then, and all watches are broken off.
func (s *soak) forgetRevisions(random *rand.Rand) error {
	s.store.forgetting.Start()
	defer s.store.forgetting.End()
	return s.outage(func() error {
		s.etcd.Cut()
		if _, err := s.writeElsewhere(); err != nil {
			return err
		}
		if err := s.store.direct.Compact(); err != nil {
			return err
		}
		index, err := s.writeElsewhere()
		if err != nil {
			return err
		}
		s.store.forgotten.Store(index)
		sleep(s.working, time.Duration(random.IntN(1500))*time.Millisecond)
		s.etcd.Mend()
		return nil
	})
}

// writeElsewhere writes through the companion, and returns the index.
func (s *soak) writeElsewhere() (index uint64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), transport.Timeout)
	defer cancel()
	via := transport.NewClient(s.store.companion.Listen, "", s.tls(""), false)
	defer via.Close()
	got, err := via.Do(ctx, &transport.Request{Method: "PUT", Target: "/soak/elsewhere", User: "root", Form: "value=1"})
	if err != nil {
		return 0, fmt.Errorf("writing through the companion: %w", err)
	}
	if got.Status >= 300 {
		return 0, fmt.Errorf("writing through the companion: got status %d, want 200 or 201: %s", got.Status, got.Body)
	}
	return got.EtcdIndex, nil
}
