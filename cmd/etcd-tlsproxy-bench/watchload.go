package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// watchLoad is many clients that watch, and what happens to them.
type watchLoad struct {
	Address string // of the proxy
	Etcd    string // where is written, so that the write costs the same for all
	CA      []byte
	// Watchers are the clients of each prefix, Prefixes how many of them there are.
	Watchers, Prefixes int
	// Events are how often something is written to each prefix, after all watch.
	Events int
	// Reread lets each client read the tree after each event, before it watches again.
	Reread bool

	poller *poller
}

// watchResult is what was measured. Times are in microseconds.
type watchResult struct {
	// Last is, for each event, when the last watcher heard of it, since the write was
	// sent.
	Last []int64
	P50  int64 // of all watchers and events
	// Seconds is the time for all events, with reading and watching again.
	Seconds float64
}

// newWatchLoadCommand reads a load, connects and watches, says "ready", waits for
// a line, writes, and tells what happened.
func newWatchLoadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "watch-load", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := bufio.NewReader(cmd.InOrStdin())
			line, err := in.ReadBytes('\n')
			if err != nil {
				return err
			}
			l := &watchLoad{}
			if err := json.Unmarshal(line, l); err != nil {
				return err
			}
			return l.run(in, cmd.OutOrStdout())
		},
	}
}

// prefix is where the n-th watcher watches.
func (l *watchLoad) prefix(n int) string {
	if l.Reread {
		return "/conftool/v1/pools"
	}
	return fmt.Sprintf("/conftool/watched/%d", n%l.Prefixes)
}

func (l *watchLoad) run(in *bufio.Reader, out io.Writer) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(l.CA) {
		return errors.New("reading the CA")
	}
	config := &tls.Config{RootCAs: roots, ServerName: "localhost", CurvePreferences: []tls.CurveID{tls.X25519}}
	watchers := make([]*watcher, l.Watchers*l.Prefixes)
	err := forEach(watchers, 64, func(i int) error {
		w := &watcher{load: l, prefix: l.prefix(i)}
		watchers[i] = w
		return w.begin(config)
	})
	if err != nil {
		return err
	}
	if !l.Reread {
		if l.poller, err = newPoller(watchers); err != nil {
			return err
		}
		defer l.poller.close()
	}
	fmt.Fprintln(out, "ready")
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	r := watchResult{}
	var all []int64
	began := time.Now()
	for e := range l.Events {
		start, err := l.event(e, watchers)
		if err != nil {
			return fmt.Errorf("event %d: %w", e, err)
		}
		last := int64(0)
		for _, w := range watchers {
			took := w.heard.Sub(start).Microseconds()
			all = append(all, took)
			last = max(last, took)
		}
		r.Last = append(r.Last, last)
	}
	r.Seconds = time.Since(began).Seconds()
	slices.Sort(all)
	r.P50 = all[len(all)/2]
	return json.NewEncoder(out).Encode(r)
}

// event writes once, and returns when that was after all have heard, and watch again.
// Those who read the tree hear and go on each on its own; for the others it is taken
// when the event reached them, before any of them reads it.
func (l *watchLoad) event(n int, watchers []*watcher) (start time.Time, err error) {
	var running, listening sync.WaitGroup
	failed := make(chan error, len(watchers)+1)
	try := func(f func() error) {
		running.Go(func() {
			if err := f(); err != nil {
				failed <- err
			}
		})
	}
	if l.Reread {
		listening.Add(len(watchers))
		for _, w := range watchers {
			try(func() error {
				listening.Done()
				return w.hear()
			})
		}
		listening.Wait() // what it takes to begin is not what is measured
	}
	start = time.Now()
	try(func() error { return l.write(n) })
	if !l.Reread {
		if err := l.poller.await(watchers); err != nil {
			return start, err
		}
		if err := forEach(watchers, 64, func(i int) error { return watchers[i].hear() }); err != nil {
			return start, err
		}
	}
	running.Wait()
	select {
	case err := <-failed:
		return start, err
	default:
		return start, nil
	}
}

// each calls f for all indexes, some at a time, and returns an error if there was
// one.
func forEach[T any](list []T, some int, f func(int) error) error {
	var running sync.WaitGroup
	failed := make(chan error, some)
	for worker := range some {
		running.Go(func() {
			for i := worker; i < len(list); i += some {
				if err := f(i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	running.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// write changes something below each prefix.
func (l *watchLoad) write(n int) error {
	prefixes := make([]string, l.Prefixes)
	return forEach(prefixes, min(8, l.Prefixes), func(i int) error {
		form := url.Values{"value": {fmt.Sprintf("event-%d", n)}}.Encode()
		req, err := http.NewRequest(http.MethodPut, "http://"+l.Etcd+"/v2/keys"+l.prefix(i)+"/eqiad/mw0000", strings.NewReader(form))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
}
