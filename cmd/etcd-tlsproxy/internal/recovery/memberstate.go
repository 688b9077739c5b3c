package recovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
)

// state is the state of a member as seen from this machine.
type state string

const (
	stopped     state = "stopped"     // nothing listens at its peer URL
	unreachable state = "unreachable" // its host does not answer, so it may be running
	running     state = "running"     // something listens, but there is no quorum
	live              = state("live") // it answers with a quorum
)

// ErrLive is returned for a cluster that has a quorum and needs no recovery.
var ErrLive = errors.New("the cluster is alive")

// probeMembers determines the state of every member.
func (r *Recovery) probeMembers(ctx context.Context) (map[string]state, error) {
	probe, err := cluster.NewQuorumProbe(&r.Connection)
	if err != nil {
		return nil, err
	}
	defer probe.Close()
	states := make(map[string]state)
	errs := make([]error, len(r.Members))
	var mu sync.Mutex
	var probes sync.WaitGroup
	for i, m := range r.Members {
		probes.Go(func() {
			s, err := r.probe(ctx, probe, m)
			errs[i] = err
			mu.Lock()
			defer mu.Unlock()
			states[m.Name] = s
		})
	}
	probes.Wait()
	return states, errors.Join(errs...)
}

func (r *Recovery) probe(ctx context.Context, quorum *cluster.QuorumProbe, m Member) (state, error) {
	for until := time.Now().Add(r.Connection.Timeout); ; {
		answered := false // without a quorum
		for _, url := range r.reachable(m) {
			has, err := quorum.Ask(ctx, url)
			if errors.Is(err, cluster.ErrRefused) && answered {
				continue // etcd itself has answered, and this is its proxy
			}
			if err != nil && !errors.Is(err, cluster.ErrNoAnswer) {
				return "", fmt.Errorf("connecting to %s at %s: %w", m.Name, url, err)
			}
			if has {
				return live, nil
			}
			answered = answered || err == nil
		}
		// A running member may be electing a leader.
		if s := r.probePeer(ctx, m.Peer); s != running || time.Now().After(until) || ctx.Err() != nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollEvery):
		}
	}
}

// reachable returns the client URLs that reach a member from this machine.
func (r *Recovery) reachable(m Member) []string {
	var urls []string
	for _, url := range []string{m.Client, m.Advertise} {
		if (r.local(m) || !loopback(url)) && !(len(urls) == 1 && urls[0] == url) {
			urls = append(urls, url)
		}
	}
	return urls
}

// probePeer connects to a member's peer port, on which only etcd itself listens.
func (r *Recovery) probePeer(ctx context.Context, peer string) state {
	ctx, cancel := context.WithTimeout(ctx, r.Connection.Timeout)
	defer cancel()
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", parse(peer).Host)
	switch {
	case err == nil:
		_ = connection.Close()
		return running
	case errors.Is(err, syscall.ECONNREFUSED):
		return stopped
	}
	return unreachable
}

// checkNotLive refuses a cluster with a quorum. Otherwise it returns a description of the
// members' states.
func (r *Recovery) checkNotLive(states map[string]state) (facts []string, err error) {
	in := func(s state) string {
		var names []string
		for _, m := range r.Members {
			if states[m.Name] == s {
				names = append(names, m.Name)
			}
		}
		return strings.Join(names, ", ")
	}
	if names := in(live); names != "" {
		return nil, fmt.Errorf("%w: %s answers with a quorum. A recovery would create a second cluster with older data and other ids (hint: to repair a member of a cluster that is alive, remove it and add it again)", ErrLive, names)
	}
	if names := in(running); names != "" {
		facts = append(facts, names+": running, but without a quorum within "+r.Connection.Timeout.String())
	}
	if names := in(stopped); names != "" {
		facts = append(facts, names+": nothing listens at "+strings.Join(r.peers(states, stopped), ", ")+
			": stopped, unless etcd runs with other ports. Then give the URLs with --members")
	}
	if names := in(unreachable); names != "" {
		facts = append(facts, names+": UNKNOWN, the host does not answer. If only the connection from here is broken, the cluster may be alive without this host: make sure that etcd is stopped there. Leave a lost host out of --members, and add it when it is back")
	}
	return facts, nil
}

// peers returns the peer URLs of the members in a state.
func (r *Recovery) peers(states map[string]state, in state) (urls []string) {
	for _, m := range r.Members {
		if states[m.Name] == in {
			urls = append(urls, m.Peer)
		}
	}
	return urls
}

// waitStopped waits until nothing listens at a member's peer URL.
func (r *Recovery) waitStopped(ctx context.Context, m Member) error {
	return r.waitUntil(ctx, m.Name+" to stop", func() error {
		if s := r.probePeer(ctx, m.Peer); s != stopped {
			return fmt.Errorf("%s is %s", m.Peer, s)
		}
		return nil
	})
}

// pollEvery is the interval between two checks of a condition.
const pollEvery = 200 * time.Millisecond

// waitUntil calls check until it returns no error or the time of --wait has passed.
func (r *Recovery) waitUntil(ctx context.Context, what string, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w: %w", what, ctx.Err(), err)
		case <-time.After(pollEvery):
		}
	}
}
