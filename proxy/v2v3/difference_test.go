package v2v3_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/v2draw"
	"etcd-tlsproxy/proxy/v2v3"
)

// TestAnswersAndWatchesEqualThoseOfEtcd sends random requests to an etcd with the v2 API and to a
// store before each release that is at hand. It compares status, index, body, and the events of
// watches. A failure prints the requests. Set -rapid.checks for longer runs.
func TestAnswersAndWatchesEqualThoseOfEtcd(t *testing.T) {
	limitChecks(t)
	for _, release := range proxytest.Releases() {
		t.Run(release.Name, func(t *testing.T) {
			t.Parallel()
			b := bench{counts: &counts{of: map[string]int{}}, store: startStore(t, release)}
			b.startReference(t, release)
			rapid.Check(t, func(rt *rapid.T) {
				p := &pair{T: rt, bench: b}
				p.equalize()
				for i, seed := range rapid.SliceOfN(v2draw.Seeds, 100, 400).Draw(rt, "seeds") {
					p.Choices = v2draw.New(seed)
					if i == 0 && p.Once(10) {
						p.fill(900 + p.IntN(400))
					}
					p.step()
				}
				p.finishWatches()
				p.compareTrees()
			})
			b.counts.log(t)
		})
	}
}

// limitChecks makes the test short unless the command line says how long it is.
func limitChecks(t *testing.T) {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if given {
		return
	}
	if err := flag.Set("rapid.checks", "5"); err != nil {
		t.Fatal(err)
	}
}

// counts says how often the runs of a test reached each rule.
type counts struct {
	mu sync.Mutex
	of map[string]int
}

func (c *counts) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[fmt.Sprintf(format, args...)]++
}

func (c *counts) log(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(c.of)) {
		t.Logf("%8d %s", c.of[name], name)
	}
}

// bench has both servers. They stay for all checks.
type bench struct {
	counts *counts
	store  *v2v3.Store
	// url is that of the reference. It updates directories if it is etcd 3.4.
	url         string
	updatesDirs bool
}

// startReference starts an etcd with the v2 API: the installed 3.4, or the one that is linked in, which
// is also compared with itself.
func (b *bench) startReference(t *testing.T, release proxytest.Release) {
	t.Helper()
	path, version, ok := proxytest.FindEtcd()
	if !ok || release.Program == "" {
		etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(etcd.Close)
		b.url = etcd.URL()
		return
	}
	etcd, err := proxytest.StartProcess(path, proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	b.url, b.updatesDirs = etcd.URL(), strings.HasPrefix(version, "3.4.")
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// storeOptions are those of a store before a cluster. The first endpoint is the given one.
func storeOptions(t *testing.T, c *proxytest.Cluster, first int) v2v3.Options {
	t.Helper()
	o := v2v3.Options{Timeout: 10 * time.Second, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for i := range c.Members {
		at := c.Members[(first+i)%len(c.Members)]
		o.Endpoints = append(o.Endpoints, v2v3.Endpoint{Addr: strings.TrimPrefix(at.URL(), "http://")})
	}
	return o
}

func startStore(t *testing.T, release proxytest.Release) *v2v3.Store {
	t.Helper()
	c, err := release.Cluster(t.TempDir(), 1)
	t.Cleanup(c.Close)
	if err != nil {
		t.Fatal(err)
	}
	o := storeOptions(t, c, 0)
	if err := v2v3.Init(testContext(t), o, 1); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, o)
	// The election of the keeper takes a revision, and so an index.
	for ctx := testContext(t); !s.Status().Keeper; {
		select {
		case <-ctx.Done():
			t.Fatal("the store is not the keeper after 30 s")
		case <-time.After(10 * time.Millisecond):
		}
	}
	return s
}

func openStore(t *testing.T, o v2v3.Options) *v2v3.Store {
	t.Helper()
	s, err := v2v3.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	if err := s.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return s
}
