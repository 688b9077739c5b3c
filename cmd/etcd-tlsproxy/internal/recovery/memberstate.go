package recovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"
)

// state is what is known of a member from here.
type state string

const (
	stopped     state = "stopped"     // nobody listens at its peer URL
	unreachable state = "unreachable" // its host does not answer: it may run
	running     state = "running"     // somebody listens, and gives no quorum
	live              = state("live") // it answers with a quorum
)

// ErrLive is the refusal to recover a cluster that needs no recovery.
var ErrLive = errors.New("the cluster is alive")

// look asks every member, at every URL that leads to it from here.
func (r *Recovery) probeMembers(ctx context.Context) (map[string]state, error) {
	transport, err := r.Connection.Transport()
	if err != nil {
		return nil, err
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: r.Connection.Timeout}
	states := make(map[string]state)
	errs := make([]error, len(r.Members))
	var mu sync.Mutex
	var probes sync.WaitGroup
	for i, m := range r.Members {
		probes.Go(func() {
			s, err := r.probe(ctx, client, m)
			errs[i] = err
			mu.Lock()
			defer mu.Unlock()
			states[m.Name] = s
		})
	}
	probes.Wait()
	return states, errors.Join(errs...)
}

func (r *Recovery) probe(ctx context.Context, client *http.Client, m Member) (state, error) {
	for until := time.Now().Add(r.Connection.Timeout); ; {
		for _, url := range r.reachable(m) {
			quorum, err := hasQuorum(ctx, client, url)
			if err != nil {
				return "", fmt.Errorf("asking %s at %s: %w (hint: --ca-file, --cert-file and --key-file are for https)", m.Name, url, err)
			}
			if quorum {
				return live, nil
			}
		}
		// One that runs may only be electing a leader.
		if s := r.probePeer(ctx, m.Peer); s != running || time.Now().After(until) || ctx.Err() != nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollEvery):
		}
	}
}

// reachable are a member's client URLs that mean it from here.
func (r *Recovery) reachable(m Member) []string {
	var urls []string
	for _, url := range []string{m.Client, m.Advertise} {
		if (r.local(m) || !loopback(url)) && !(len(urls) == 1 && urls[0] == url) {
			urls = append(urls, url)
		}
	}
	return urls
}

// hasQuorum reports whether an etcd, or a proxy before it, answers with a quorum.
// An error is an answer that tells neither that it does nor that it does not.
func hasQuorum(ctx context.Context, client *http.Client, url string) (bool, error) {
	for _, path := range []string{"/health", "/v2/keys/?quorum=true"} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
		if err != nil {
			return false, err
		}
		response, err := client.Do(request)
		if err != nil {
			// Over TCP nobody is there; over TLS somebody is.
			var dial *net.OpError
			if timeout(err) || errors.As(err, &dial) && dial.Op == "dial" || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
				continue
			}
			return false, err
		}
		body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		_ = response.Body.Close()
		if err != nil && !timeout(err) {
			return false, err
		}
		switch {
		case path == "/health":
			var health struct{ Health string }
			if json.Unmarshal(body, &health) == nil && health.Health == "true" {
				return true, nil
			}
		case response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden:
			return false, fmt.Errorf("it refuses a read with status %d, so that nobody knows whether it has a quorum (hint: ask etcd itself, with its own URL in --members)", response.StatusCode)
		case response.StatusCode == http.StatusOK:
			return true, nil
		}
	}
	return false, nil
}

func timeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// listens tries a member's port for peers, which only etcd itself listens on.
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

// judge decides by the members' states whether there is something to recover, and
// tells what speaks for it.
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
		return nil, fmt.Errorf("%w: %s answers with a quorum. A recovery would make a second cluster beside it, with older data and other ids (hint: a broken member of a living cluster is removed and added again)", ErrLive, names)
	}
	if names := in(running); names != "" {
		facts = append(facts, names+": runs, and has no quorum within "+r.Connection.Timeout.String())
	}
	if names := in(stopped); names != "" {
		facts = append(facts, names+": does not run")
	}
	if names := in(unreachable); names != "" {
		facts = append(facts, names+": NOT KNOWN, the host does not answer. If it is only cut off from here, the cluster may be alive without this host: make sure that etcd is stopped there. A host that is lost is left out of --members, and added when it is back")
	}
	return facts, nil
}

// waitStopped waits until nobody listens for a member's peers any more.
func (r *Recovery) waitStopped(ctx context.Context, m Member) error {
	return r.waitUntil(ctx, m.Name+" to end", func() error {
		if s := r.probePeer(ctx, m.Peer); s != stopped {
			return fmt.Errorf("%s is %s", m.Peer, s)
		}
		return nil
	})
}

// pollEvery is how often a member is asked whether it has come to what is awaited.
const pollEvery = 200 * time.Millisecond

// await asks until there is no error, for as long as --wait says.
func (r *Recovery) waitUntil(ctx context.Context, what string, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	for {
		err := ask()
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
