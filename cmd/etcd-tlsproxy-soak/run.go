package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/check"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/env"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
	"etcd-tlsproxy/proxy/proxytest"
)

// soak is one run: its environment, what its clients share, and what they found.
type soak struct {
	seed    uint64
	promise time.Duration

	files  *env.Files
	etcd   env.Etcd
	store  *store      // nil with the v2 API
	shadow *env.Shadow // nil without one
	proxy  *env.Proxy
	prober *transport.Client // sees whether faults are over

	// working ends when clients should stop, firstHalf half-way before, watching when watchers should.
	working, firstHalf, watching context.Context

	content  check.Content
	findings *check.Findings
	outages  *check.Outages
	// index is the newest that etcd has acknowledged to a client: no later answer may
	// show an older one.
	index     atomic.Uint64
	versions  *check.Versions
	counters  *check.Counters
	histories []*check.History
	posts     *check.InOrderKeys // the values sent with POST
	// guest is the permission of that user to log in, narrow that of worker to write
	// below /soak/narrow.
	guest, narrow *permission

	mu      sync.Mutex
	sources int
}

// watchedFolders is the number of folders with watchers. Each has several.
const watchedFolders = 3

func newSoak(files *env.Files, etcd env.Etcd, content check.Content, seed uint64) *soak {
	findings := check.NewFindings(seed)
	s := &soak{
		seed: seed, files: files, etcd: etcd, content: content, findings: findings, outages: &check.Outages{}, versions: &check.Versions{},
		counters: &check.Counters{}, posts: check.NewInOrderKeys(findings, content),
		guest: newPermission(), narrow: newPermission(),
	}
	for i := range watchedFolders {
		s.histories = append(s.histories, check.NewHistory(fmt.Sprintf("/soak/watched/p%d", i), findings))
	}
	return s
}

// source returns a source of random choices. The seed and the number of earlier calls
// decide about them.
func (s *soak) source() *rand.Rand {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sources++
	return rand.New(rand.NewPCG(s.seed, uint64(s.sources)))
}

// acknowledge records an index that etcd has acknowledged.
func (s *soak) acknowledge(index uint64) {
	for {
		newest := s.index.Load()
		if index <= newest || s.index.CompareAndSwap(newest, index) {
			return
		}
	}
}

// run starts everything, runs the clients, and reports.
func (s *settings) run(ctx context.Context, out io.Writer) (err error) {
	if err := s.check(); err != nil {
		return err
	}
	fmt.Fprintf(out, "seed %d\n", s.seed)
	files, err := env.NewFiles(s.api)
	if files != nil {
		defer func() {
			if s.keep || err != nil {
				fmt.Fprintf(out, "the files are kept in %s\n", files.Dir)
			} else {
				_ = os.RemoveAll(files.Dir)
			}
		}()
	}
	if err != nil {
		return err
	}
	if s.etcd == "" && !s.embedded {
		s.etcd = proxytest.ChooseEtcd(s.api)
	}
	description, err := proxytest.DescribeEtcd(s.etcd)
	if err != nil {
		return err
	}
	program, err := proxytest.BuildProxy(s.proxy, files.Dir)
	if err != nil {
		return err
	}
	etcd, err := env.StartEtcd(files.Path("etcd"), s.etcd, s.api)
	if err != nil {
		return err
	}
	defer etcd.Close()
	k, err := s.start(program, files, etcd)
	if k != nil {
		defer k.close()
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s, API %s; etcd-tlsproxy at https://%s, process %d\n", description, s.api, files.Listen, k.proxy.Pid())
	report, err := k.run(ctx, s.duration)
	if err != nil {
		return err
	}
	report.Etcd, report.API = description, s.api
	report.print(out)
	if s.json != "" {
		if err := report.write(s.json); err != nil {
			return err
		}
	}
	return report.verdict()
}

// start starts the proxy. The caller must close what it returns, also with an error.
func (s *settings) start(program string, files *env.Files, etcd env.Etcd) (k *soak, err error) {
	files.EtcdURL, files.Shadow = etcd.URL(), s.shadow
	if err := files.Configure(func(*env.Configuration) {}, ""); err != nil {
		return nil, err
	}
	if s.shadow {
		if err := env.Rehearse(program, files, etcd); err != nil {
			return nil, err
		}
	}
	if s.api == proxytest.V2 {
		k = newSoak(files, etcd, env.V2Content(etcd.URL()), s.seed)
	} else {
		side, err := openStore(program, files, etcd)
		if err != nil {
			return nil, err
		}
		k = newSoak(files, etcd, side.direct, s.seed)
		k.store = side
	}
	k.promise = s.promise
	if k.proxy, err = env.StartProxy(program, files); err != nil {
		return k, err
	}
	k.prober = k.newProber()
	return k, nil
}

// newProber returns a client with an address of its own, because failed logins make an
// address wait.
func (s *soak) newProber() *transport.Client {
	return transport.NewClient(s.files.Listen, "127.0.0.4", s.tls(""), false)
}

// run lets the clients work under faults, and checks what is left.
func (s *soak) run(ctx context.Context, duration time.Duration) (*report, error) {
	start, err := s.proxy.Usage()
	if err != nil {
		return nil, err
	}
	working, stopWorking := context.WithTimeout(ctx, duration)
	defer stopWorking()
	watching, stopWatching := context.WithCancel(context.Background())
	defer stopWatching()
	firstHalf, stopFirstHalf := context.WithTimeout(working, duration/2)
	defer stopFirstHalf()
	s.working, s.firstHalf, s.watching = working, firstHalf, watching
	go func() {
		select {
		case <-s.proxy.Exited():
			stopWorking()
		case <-working.Done():
		}
	}()
	var workers, watchers sync.WaitGroup
	s.startClients(&workers, &watchers)
	faults, _ := errgroup.WithContext(context.Background())
	for _, inject := range []func() error{s.injectFaults, s.changeFiles, s.measureHalf} {
		faults.Go(func() error {
			err := inject()
			if err != nil {
				stopWorking()
			}
			return err
		})
	}
	err = faults.Wait()
	stopWorking()
	workers.Wait()
	if err == nil && !s.proxy.HasExited() {
		err = s.checkEnd()
	}
	stopWatching()
	watchers.Wait()
	r := s.newReport(start, ctx.Err() != nil)
	if s.proxy.HasExited() {
		s.findings.Mismatch("end", "the proxy has ended: %v; see %s", s.proxy.ExitError(), s.proxy.Log)
	} else {
		s.prober.Close()
		s.waitForRelease(r)
	}
	if err := s.proxy.Stop(); err != nil {
		s.findings.Mismatch("end", "%v", err)
	}
	for _, line := range s.badLogLines() {
		s.findings.Mismatch("a proxy's log", "%s", line)
	}
	r.fill(s.findings.Totals())
	r.Shadow = s.shadow
	if s.store != nil {
		r.StoreHalf, r.StoreEnd = s.store.half, s.store.end
	}
	return r, err
}
