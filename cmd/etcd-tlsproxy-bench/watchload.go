package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/proxy/proxytest/direct"
	"etcd-tlsproxy/proxy/v2v3"
)

// watchLoad describes many clients that watch, and what is written meanwhile.
type watchLoad struct {
	Address string // of the proxy
	Etcd    string // etcd's address; writes go there directly, so that they cost the same for all proxies
	CA      []byte
	// Watchers is the number of clients of each prefix, Prefixes the number of prefixes.
	Watchers, Prefixes int
	// Events is the number of writes to each prefix. All clients watch before each write.
	Events int
	// V3 makes Etcd the address of a v3 store.
	V3 bool
	// Reread lets each client read the tree after each event, before it watches again.
	Reread bool

	poller *poller
	put    func(key, value string) error
}

// watchResult is what was measured. Times are in microseconds.
type watchResult struct {
	// Last is, for each event, the time from the write to its arrival at the last
	// watcher.
	Last []int64
	P50  int64 // of all watchers and events
	// Seconds is the time for all events, with reading and watching again.
	Seconds float64
}

// maxParallel bounds how many watchers connect, or read an event, at the same time.
const maxParallel = 64

// newWatchLoadCommand returns the generator of watches. It reads a load, connects and
// watches, writes "ready", waits for a line, writes to etcd, and writes the result.
func newWatchLoadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "watch-load", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l := &watchLoad{}
			in, err := readLoad(cmd.InOrStdin(), l)
			if err != nil {
				return err
			}
			return l.run(in, cmd.OutOrStdout())
		},
	}
}

// prefix returns the prefix of the n-th watcher.
func (l *watchLoad) prefix(n int) string {
	if l.Reread {
		return "/conftool/v1/pools"
	}
	return fmt.Sprintf("/conftool/watched/%d", n%l.Prefixes)
}

// run connects all watchers, waits for the start, and writes and measures the events.
func (l *watchLoad) run(in *bufio.Reader, out io.Writer) error {
	config, err := clientConfig(l.CA)
	if err != nil {
		return err
	}
	l.put = func(key, value string) error { return putDirect(l.Etcd, key, value) }
	if l.V3 {
		w, err := direct.Open(v2v3.Endpoint{Addr: l.Etcd}, benchPrefix)
		if err != nil {
			return err
		}
		defer w.Close()
		l.put = w.Put
	}
	watchers := make([]*watcher, l.Watchers*l.Prefixes)
	err = forEach(watchers, maxParallel, func(i int) error {
		watchers[i] = &watcher{load: l, prefix: l.prefix(i)}
		return watchers[i].connect(config)
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
	if err := waitForStart(in, out); err != nil {
		return err
	}
	r := watchResult{}
	var all []int64
	start := time.Now()
	for n := range l.Events {
		written, err := l.event(n, watchers)
		if err != nil {
			return fmt.Errorf("event %d: %w", n, err)
		}
		last := int64(0)
		for _, w := range watchers {
			took := w.arrived.Sub(written).Microseconds()
			all = append(all, took)
			last = max(last, took)
		}
		r.Last = append(r.Last, last)
	}
	r.Seconds = time.Since(start).Seconds()
	slices.Sort(all)
	r.P50 = all[len(all)/2]
	return json.NewEncoder(out).Encode(r)
}

// event writes once to each prefix and returns the time of the write, after all
// watchers have received the event and watch again. Watchers that read the tree do so
// at their own pace. For the others the arrival at the socket is recorded, before any of
// them reads.
func (l *watchLoad) event(n int, watchers []*watcher) (written time.Time, err error) {
	var running, reading sync.WaitGroup
	failed := make(chan error, len(watchers)+1)
	run := func(f func() error) {
		running.Go(func() {
			if err := f(); err != nil {
				failed <- err
			}
		})
	}
	if l.Reread {
		reading.Add(len(watchers))
		for _, w := range watchers {
			run(func() error {
				reading.Done()
				return w.receive()
			})
		}
		reading.Wait() // the time to start goroutines is not part of the measurement
	}
	written = time.Now()
	run(func() error { return l.write(n) })
	if !l.Reread {
		if err := l.poller.wait(watchers); err != nil {
			return written, err
		}
		if err := forEach(watchers, maxParallel, func(i int) error { return watchers[i].receive() }); err != nil {
			return written, err
		}
	}
	running.Wait()
	select {
	case err := <-failed:
		return written, err
	default:
		return written, nil
	}
}

// write changes a key below each prefix.
func (l *watchLoad) write(n int) error {
	prefixes := make([]string, l.Prefixes)
	return forEach(prefixes, min(8, l.Prefixes), func(i int) error {
		return l.put(l.prefix(i)+"/eqiad/mw0000", fmt.Sprintf("event-%d", n))
	})
}

// forEach calls f for every index of a list from some goroutines, and returns one of the
// errors. A goroutine stops at its first error.
func forEach[T any](list []T, goroutines int, f func(int) error) error {
	var running sync.WaitGroup
	failed := make(chan error, goroutines)
	for first := range goroutines {
		running.Go(func() {
			for i := first; i < len(list); i += goroutines {
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
