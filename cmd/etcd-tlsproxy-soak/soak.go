package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// soak is one run.
type soak struct {
	*world
	settings *settings
	promise  time.Duration
	front    *front
	prober   *library // of faults
}

// watchedFolders are followed, each by several clients.
const watchedFolders = 3

func (s *settings) run(ctx context.Context, out io.Writer) (err error) {
	if s.duration <= 0 || s.promise <= 0 {
		return errors.New("reading the flags: --duration and --promise must be above 0")
	}
	fmt.Fprintf(out, "seed %d\n", s.seed)
	stage, err := newStage()
	if stage != nil {
		defer func() {
			if s.keep || err != nil {
				fmt.Fprintf(out, "the files stay in %s\n", stage.dir)
			} else {
				_ = os.RemoveAll(stage.dir)
			}
		}()
	}
	if err != nil {
		return err
	}
	program, err := stage.build(s.proxy)
	if err != nil {
		return err
	}
	etcd, what, err := startMember(stage.path("etcd"), s.embedded)
	if err != nil {
		return err
	}
	defer etcd.Close()
	stage.etcd = etcd.URL()
	if err := stage.change(func(*configuration) {}, ""); err != nil {
		return err
	}
	front, err := startFront(program, stage)
	if err != nil {
		return err
	}
	defer front.stop() // its error is told by the report, if it gets that far
	fmt.Fprintf(out, "%s; etcd-tlsproxy at https://%s, process %d\n", what, stage.listen, front.cmd.Process.Pid)
	r := &soak{world: newWorld(stage, etcd, s.seed), settings: s, promise: s.promise, front: front}
	r.prober = r.newProber()
	report, err := r.soak(ctx)
	if err != nil {
		return err
	}
	report.Etcd = what
	report.print(out)
	if s.json != "" {
		if err := report.write(s.json); err != nil {
			return err
		}
	}
	return report.verdict()
}

func newWorld(stage *stage, etcd member, seed uint64) *world {
	w := &world{
		stage: stage, tally: newTally(seed), outages: &outages{}, etcd: etcd, seed: seed, tagged: &tagged{}, counters: &counters{},
		posts: &posts{queue: make(map[string]map[string]post), late: make(map[string]bool)},
		guest: &gate{open: true}, narrow: &gate{open: true},
	}
	for i := range watchedFolders {
		w.ledgers = append(w.ledgers, &ledger{world: w, folder: fmt.Sprintf("/soak/watched/p%d", i), facts: make(map[uint64]fact), open: make(map[string]int)})
	}
	return w
}

// newProber is a client whose failed logins are nobody else's.
func (s *soak) newProber() *library {
	config, err := s.tls("")
	if err != nil {
		panic("BUG: a client without a name needs no keys: " + err.Error())
	}
	return newLibrary(s.listen, "127.0.0.4", config, false)
}

// soak lets clients work under faults, and checks what is left.
func (s *soak) soak(ctx context.Context) (*report, error) {
	before, err := s.front.figures()
	if err != nil {
		return nil, err
	}
	work, stop := context.WithTimeout(ctx, s.settings.duration)
	defer stop()
	heard, quiet := context.WithCancel(context.Background())
	defer quiet()
	s.work, s.heard = work, heard
	go func() {
		select {
		case <-s.front.exited:
			stop()
		case <-work.Done():
		}
	}()
	var working, watching sync.WaitGroup
	s.clients(&working, &watching)
	faults, _ := errgroup.WithContext(context.Background())
	for _, loop := range []func() error{s.breakEtcd, s.changeFiles} {
		faults.Go(func() error {
			err := loop()
			if err != nil {
				stop()
			}
			return err
		})
	}
	faulty := faults.Wait()
	stop()
	working.Wait()
	if faulty == nil && !s.front.gone() {
		faulty = s.finish()
	}
	quiet()
	watching.Wait()
	r := s.newReport(before, ctx.Err() != nil)
	if s.front.gone() {
		s.tally.mismatch("end", "the proxy has ended: %v; see %s", s.front.err, s.front.log)
	} else {
		s.prober.close()
		s.leave(r)
	}
	if err := s.front.stop(); err != nil {
		s.tally.mismatch("end", "%v", err)
	}
	for _, line := range s.front.complaints() {
		s.tally.mismatch("proxy's log", "%s", line)
	}
	r.fill(s.tally)
	return r, faulty
}

// clients starts all of them: those that work, and those that watch until the end.
func (s *soak) clients(working, watching *sync.WaitGroup) {
	crew := func(running *sync.WaitGroup, kind string, do func(*actor), ways ...func(*actor) transport) {
		for i, way := range ways {
			a := s.actor(kind, i, way)
			running.Go(func() {
				defer a.via.close()
				do(a)
			})
		}
	}
	crew(working, "tagged writer", (*actor).writeTagged, plain, h2, trickling, certified)
	crew(working, "tagged reader", (*actor).readTagged, plain, plain, plain, h2, h2, old, trickling, plain)
	crew(working, "own counter", (*actor).count, plain, h2, old)
	crew(working, "shared counter", (*actor).countTogether, plain, plain, h2, certified)
	crew(working, "poster", (*actor).writePosts, plain, plain, h2, old, trickling, certified)
	crew(working, "watched writer", (*actor).writeWatched, plain, plain, h2, plain, certified, plain)
	crew(watching, "watcher", (*actor).follow, plain, plain, plain, h2, h2, h2, old, plain, plain)
	crew(working, "aborter", (*actor).abort, plain, plain, plain)
	crew(working, "pipeliner", (*actor).pipeline, plain, plain, plain)
	crew(working, "refused", (*actor).refused, plain, h2, old)
	crew(working, "guesser", (*actor).guess, stranger, stranger)
	crew(working, "guest", (*actor).passGuest, visiting)
	crew(working, "narrow", (*actor).passNarrow, plain, h2)
	if _, err := exec.LookPath("curl"); err == nil {
		crew(working, "curl", (*actor).useCurl, plain)
	}
	if etcdctl(s.work) {
		crew(working, "etcdctl", (*actor).useEtcdctl, plain)
	}
}
