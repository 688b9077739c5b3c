package migration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// late is a request of a move back that etcd gets after others.
type late struct{ deliver func() (status int) }

// relay passes the requests of a move back on to etcd. Of those that hold chooses, etcd gets nothing until they are delivered, and
// the move back gets no answer.
type relay struct {
	url  string
	mu   sync.Mutex
	hold func(*http.Request) bool
	held []*late
	// of is the cluster of the answers; "" leaves it.
	of string
	// came gets a value for each of them.
	came chan struct{}
}

func (f *moved) relay() *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	r := &relay{url: "http://" + l.Addr().String(), came: make(chan struct{}, 10_000), hold: func(*http.Request) bool { return false }}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) { r.serve(f, w, request) })} //nolint:gosec // of a test
	go func() { _ = server.Serve(l) }()
	f.t.Cleanup(func() { _ = server.Close() })
	return r
}

func (r *relay) serve(f *moved, w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	pass := func() (*http.Response, error) {
		onward, err := http.NewRequest(request.Method, f.url+request.URL.RequestURI(), strings.NewReader(string(body)))
		if err != nil {
			return nil, err
		}
		onward.Header = request.Header.Clone()
		return http.DefaultClient.Do(onward)
	}
	r.mu.Lock()
	hold := r.hold(request)
	if hold {
		r.held = append(r.held, &late{func() int {
			resp, err := pass()
			if err != nil {
				f.t.Errorf("a request that comes late: %v", err)
				return 0
			}
			resp.Body.Close()
			return resp.StatusCode
		}})
	}
	r.mu.Unlock()
	if hold {
		r.came <- struct{}{}
		<-request.Context().Done()
		return
	}
	resp, err := pass()
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	r.mu.Lock()
	if r.of != "" {
		w.Header().Set("X-Etcd-Cluster-Id", r.of)
	}
	r.mu.Unlock()
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// through makes the move back use the relay.
func (r *relay) through(f *moved) {
	f.back.Connection = cluster.Connection{Endpoints: []string{r.url}, Timeout: time.Second}
}

// choose holds what is chosen from now on.
func (r *relay) choose(hold func(*http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hold = hold
}

// description returns that of the tree.
func (f *moved) description() *layout.Meta {
	f.t.Helper()
	found, err := f.client.Range(f.t.Context(), &pb.RangeRequest{Key: layout.Keys("p").Meta()})
	if err != nil || len(found.Kvs) == 0 {
		f.t.Fatalf("the description of the tree: got %v, %v", found, err)
	}
	meta, err := layout.DecodeMeta(found.Kvs[0].Value)
	if err != nil {
		f.t.Fatal(err)
	}
	return meta
}

// leave ends the lock of a move back when so many of its requests are held, which fails then.
func (f *moved) leave(r *relay, held int) {
	f.t.Helper()
	failed := make(chan error)
	go func() { _, err := f.back.Run(f.t.Context()); failed <- err }()
	for range held {
		<-r.came
	}
	f.expireLocks()
	if err := <-failed; err == nil {
		f.t.Fatal("a move back without answers: got no error")
	}
	f.live()
}

// isEdit reports whether a request writes one of the keys of a test, and not that of the command.
func isEdit(r *http.Request) bool {
	return r.Method != http.MethodGet && strings.HasPrefix(r.URL.Path, "/v2/keys/big/")
}

// again is a move back like that of the fleet, without a relay.
func (f *moved) again() *Back {
	b := *f.back
	b.before, b.killed = nil, false
	b.Connection.Endpoints = []string{f.url}
	b.Progress = f.Rehearsal.Progress
	return &b
}

// expireLocks ends the lease of any lock.
func (f *moved) expireLocks() { f.put(string(layout.Keys("p").Lock())) }

// TestWhatEtcdExecutesLateChangesNothingThatClientsWrote has etcd get all writes of a move back when another one has moved the
// keys, and clients have written and removed them.
func TestWhatEtcdExecutesLateChangesNothingThatClientsWrote(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	const n = 40
	for i := range n {
		f.write(fmt.Sprintf("/dir/key%d", i%20), value("old")) // those are in the v2 API
		f.do(f.tree, "DELETE", fmt.Sprintf("/dir/key%d", 10+i%10), "")
		f.write(fmt.Sprintf("/big/new%d", i), value("old"))
	}
	r := f.relay()
	r.through(f)
	edits := func(r *http.Request) bool {
		return r.Method != http.MethodGet && (strings.HasPrefix(r.URL.Path, "/v2/keys/dir/") || strings.HasPrefix(r.URL.Path, "/v2/keys/big/"))
	}
	r.choose(edits)
	f.leave(r, 10) // the removals come first
	if _, err := f.again().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 10 {
		f.v2write("PUT", fmt.Sprintf("/dir/key%d", 10+i), value("new"))
		want = append(want, fmt.Sprintf("/dir/key%d", 10+i))
	}
	for _, l := range r.held {
		l.deliver()
	}
	for _, key := range want {
		if status, _, body := f.v2(key); status != 200 || !strings.Contains(body, `"value":"new"`) {
			t.Errorf("%s, which a client has written: got %d %s, after %d writes of the first command came late", key, status, body, len(r.held))
		}
	}
}

// TestAWriteWithoutAnAnswerIsNotExecutedAfterTheMove has etcd get the first attempt of a change and of a creation when the
// move back has succeeded.
func TestAWriteWithoutAnAnswerIsNotExecutedAfterTheMove(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	f.write("/dir/key3", value("old"))
	r := f.relay()
	r.through(f)
	held := false
	r.choose(func(r *http.Request) bool {
		first := !held && r.Method == http.MethodPut && r.URL.Path == "/v2/keys/dir/key3"
		held = held || first
		return first
	})
	if _, err := f.back.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status := f.v2write("PUT", "/dir/key3", value("new")); status != 200 {
		t.Fatalf("a write of a client: got the status %d", status)
	}
	if len(r.held) != 1 {
		t.Fatalf("got %d writes that were held, want one", len(r.held))
	}
	status := r.held[0].deliver()
	if _, _, body := f.v2("/dir/key3"); status != http.StatusPreconditionFailed || !strings.Contains(body, `"value":"new"`) {
		t.Errorf("got the status %d for the write that came late, and then %s; want %d, and the value of the client", status, body, http.StatusPreconditionFailed)
	}
}

// TestWritesAreNotHeldWhileACreationMayStillBeExecuted has a creation that is not answered.
func TestWritesAreNotHeldWhileACreationMayStillBeExecuted(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	f.write("/big/new", value("1"))
	r := f.relay()
	r.through(f)
	held := false
	r.choose(func(r *http.Request) bool {
		first := !held && isEdit(r)
		held = held || first
		return first
	})
	f.back.settling = 50 * time.Millisecond
	f.back.before = func(step string) error {
		if step == "freeze" {
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.held) != 1 {
				t.Errorf("before the freeze: got %d writes that were held, want one", len(r.held))
			}
			held = false
			f.write("/big/later", value("2"))
		}
		return nil
	}
	if _, err := f.back.Run(t.Context()); !errors.Is(err, errUnsettled) {
		t.Fatalf("a creation without an answer while writes are held: got %v, want %v", err, errUnsettled)
	}
	f.live()
}

// TestAFileThatIsCreatedLateExpires has the creation of a file come when the keys were moved, and a client has removed it.
func TestAFileThatIsCreatedLateExpires(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	f.write("/big/new", value("old"))
	r := f.relay()
	r.through(f)
	r.choose(isEdit)
	f.leave(r, 1)
	f.do(f.tree, "DELETE", "/big/new", "")
	if _, err := f.again().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status := r.held[0].deliver(); status != http.StatusCreated {
		t.Fatalf("the creation that comes late: got the status %d", status)
	}
	if _, _, body := f.v2("/big/new"); !strings.Contains(body, fmt.Sprintf(`"ttl":%.0f`, trial.Seconds())) {
		t.Errorf("the file that was created late: got %s, want that it expires within %s", body, trial)
	}
}

// TestACommandThatWasStoppedChangesNothingWhenItGoesOn stops a move back in the middle of its copy, and lets another one
// move the keys.
func TestACommandThatWasStoppedChangesNothingWhenItGoesOn(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	const n = 300
	for i := range n {
		f.write(fmt.Sprintf("/big/k%03d", i), value("old"))
	}
	a := f.again()
	at, resume := make(chan struct{}), make(chan struct{})
	written := 0
	a.Progress = func(what string, _ int64) (func(int64), func()) {
		if what != "nodes written" {
			return func(int64) {}, func() {}
		}
		return func(int64) {
			if written++; written == 100 {
				close(at)
				<-resume
			}
		}, func() {}
	}
	done := make(chan error)
	go func() { _, err := a.Run(t.Context()); done <- err }()
	<-at
	f.expireLocks()
	if _, err := f.again().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		key := fmt.Sprintf("/big/k%03d", i)
		status := f.v2write("PUT", key, value("new"))
		if i%3 == 0 {
			status = f.v2write("DELETE", key, nil)
		}
		if status != 200 {
			t.Fatalf("a client writes %s: got the status %d", key, status)
		}
	}
	close(resume)
	if err := <-done; !errors.Is(err, errLost) {
		t.Errorf("the command that was stopped: got %v, want %v", err, errLost)
	}
	lost := 0
	for i := range n {
		status, _, body := f.v2(fmt.Sprintf("/big/k%03d", i))
		if i%3 == 0 && status != 404 || i%3 != 0 && !strings.Contains(body, `"value":"new"`) {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged writes are lost", lost, n)
	}
	if status := f.v2write("PUT", "/after", value("1")); status != 201 {
		t.Errorf("a write at the v2 API, which has the keys: got the status %d", status)
	}
}

// TestACommandThatWasStoppedAtAStepLeavesTheV2APIToClients stops a move back before a step, and lets another one move the
// keys.
func TestACommandThatWasStoppedAtAStepLeavesTheV2APIToClients(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"copy", "raise", "freeze", "serve"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			f := newMoved(t, 1)
			at, resume := make(chan struct{}), make(chan struct{})
			a := f.again()
			a.before = func(now string) error {
				if now == step {
					close(at)
					<-resume
				}
				return nil
			}
			done := make(chan error)
			go func() { _, err := a.Run(t.Context()); done <- err }()
			<-at
			f.expireLocks()
			f.live()
			if _, err := f.again().Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.v2write("PUT", "/dir/key3", value("new"))
			close(resume)
			if err := <-done; !errors.Is(err, errLost) {
				t.Errorf("the command that was stopped: got %v, want %v", err, errLost)
			}
			if status := f.v2write("PUT", "/after", value("2")); status != 201 {
				t.Errorf("a write at the v2 API: got the status %d, want that it takes writes", status)
			}
			if meta := f.description(); meta.State != layout.Unfinished || meta.V2Password == "" {
				t.Errorf("got the state %q and a password: %t, want %q and the password", meta.State, meta.V2Password != "", layout.Unfinished)
			}
		})
	}
}

// TestAnAnswerOfAnotherClusterEndsAMoveBack has the member replaced while the keys are copied.
func TestAnAnswerOfAnotherClusterEndsAMoveBack(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	r := f.relay()
	r.through(f)
	f.back.before = func(step string) error {
		if step == "raise" {
			r.choose(func(request *http.Request) bool { // the one that locks the v2 API again finds the member as it was
				if r.of = ""; request.URL.Path == "/v2/keys"+ownKey {
					r.of = "1234"
				}
				return false
			})
		}
		return nil
	}
	if _, err := f.back.Run(t.Context()); err == nil || !strings.Contains(err.Error(), `the answer is that of the cluster "1234"`) {
		t.Errorf("got %v, want that the cluster is another one", err)
	}
}

// TestAChangeThatAnEarlierCommandDecidedOnIsNotExecutedLate has a value change and change back, so that the second command
// finds in the v2 API what it wants.
func TestAChangeThatAnEarlierCommandDecidedOnIsNotExecutedLate(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	f.write("/dir/key3", value("old"))
	r := f.relay()
	r.through(f)
	r.choose(func(r *http.Request) bool { return r.Method == http.MethodPut && r.URL.Path == "/v2/keys/dir/key3" })
	f.leave(r, 1)
	f.write("/dir/key3", value("1")) // as in the v2 API
	if _, err := f.again().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	status := r.held[0].deliver()
	if _, _, body := f.v2("/dir/key3"); status != http.StatusPreconditionFailed || !strings.Contains(body, `"value":"1"`) {
		t.Errorf("got the status %d for the write that came late, and then %s; want %d, and the value of the client", status, body, http.StatusPreconditionFailed)
	}
}

// TestAClockThatIsWrongMovesNothing has the clock of the command wrong by two seconds.
func TestAClockThatIsWrongMovesNothing(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	for skew, want := range map[time.Duration]string{2 * time.Second: "is ahead of that of the member default by ", -2 * time.Second: "is behind that of the member default by "} {
		f.back.now = func() time.Time { return time.Now().Add(skew) }
		if _, err := f.back.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", skew, err, want)
		}
	}
}

// TestAMoveBackWaitsForTheDirectoriesOfAnEarlierOne has the removal of a directory that is not answered. Etcd would execute it
// on a file as well.
func TestAMoveBackWaitsForTheDirectoriesOfAnEarlierOne(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, 1)
	fl.v2write("PUT", "/empty", url.Values{"dir": {"true"}})
	f := fl.switched()
	f.do(f.tree, "DELETE", "/empty?dir=true", "")
	waits := func() bool {
		r, err := f.again().open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer r.store.client.Close()
		return r.to.unsettled.Load()
	}
	if waits() {
		t.Error("before the first one: it waits, and need not")
	}
	r := f.relay()
	r.through(f)
	r.choose(func(r *http.Request) bool { return r.Method == http.MethodDelete && r.URL.Path == "/v2/keys/empty" })
	f.leave(r, 1)
	if !waits() {
		t.Error("after a removal that was not answered: the next one does not wait")
	}
	if _, err := f.again().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.description().V2Edits {
		t.Error("after the keys were moved: the description says that a removal is under way")
	}
}

// TestAMoveBackThatFailsWithAllAnswersDelaysNoOther has it fail when it has made a directory.
func TestAMoveBackThatFailsWithAllAnswersDelaysNoOther(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	f.write("/new", url.Values{"dir": {"true"}})
	for _, step := range []string{"freeze", "update"} {
		f.back.before = func(now string) error {
			if now == step {
				if !f.description().V2Edits {
					t.Errorf("%s: the description does not say that directories were made", step)
				}
				f.back.Expect = 9
			}
			return nil
		}
		f.back.MaxHold = time.Nanosecond
		if _, err := f.back.Run(t.Context()); err == nil {
			t.Errorf("%s: got no error", step)
		}
		f.live()
		if f.description().V2Edits {
			t.Errorf("%s: the description says that directories are under way", step)
		}
	}
}

// TestAClockThatIsSetMeanwhileLosesNoKeyThatExpires has a key whose time to live is over by the clock of the command only.
func TestAClockThatIsSetMeanwhileLosesNoKeyThatExpires(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"copy", "freeze", "prove"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			f := newMoved(t, 1)
			f.write("/dir/key3", url.Values{"value": {"2"}, "ttl": {"100"}})
			var ahead atomic.Int64
			f.back.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			f.back.before = func(now string) error {
				if now == step {
					ahead.Store(int64(2 * time.Minute))
				}
				return nil
			}
			_, err := f.back.Run(t.Context())
			if status, _, body := f.v2("/dir/key3"); err == nil && !strings.Contains(body, `"value":"2"`) {
				t.Errorf("the keys are moved, and one that has not expired: got %d %s", status, body)
			}
			if step != "prove" && (err == nil || !strings.Contains(err.Error(), "the clock of this machine is ahead")) {
				t.Errorf("got %v, want that the clock is wrong", err)
			}
		})
	}
}

// TestTheKeyOfACommandThatWasStoppedIsNotMoved has it in the v2 API during a switch, and in a tree that an earlier release
// has moved.
func TestTheKeyOfACommandThatWasStoppedIsNotMoved(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.write(ownKey, url.Values{"value": {""}, "ttl": {"600"}})
	f.sw.before = func(step string) error {
		if step == "compare" { // etcd expires it
			f.v2write("DELETE", ownKey, nil)
		}
		return nil
	}
	m := f.switched()
	if a := m.do(m.tree, "GET", ownKey, ""); a.Status != 404 {
		t.Errorf("the key in the tree: got %s, want none", a.Body)
	}
	m.write(ownKey, url.Values{"value": {""}, "ttl": {"600"}})
	if _, err := m.back.Run(t.Context()); err != nil {
		t.Errorf("moving the keys back: %v", err)
	}
	if status, _, body := m.v2(ownKey); status != 404 {
		t.Errorf("the key in the v2 API: got %s, want none", body)
	}
}

// TestACommandThatHasLostItsLockDoesNotGoOnRaisingTheIndex has it lose the lock after some writes.
func TestACommandThatHasLostItsLockDoesNotGoOnRaisingTheIndex(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	r, err := f.back.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.store.client.Close()
	var asked atomic.Int64
	r.to.held = func(context.Context) error {
		if asked.Add(1) > maxSenders {
			return errLost
		}
		return nil
	}
	r.to.password = r.meta.V2Password
	if _, err := r.to.putOwn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.to.unlock(t.Context(), r.meta.V2Password, (&holding{store: r.store}).still); err != nil {
		t.Fatal(err)
	}
	r.to.password = ""
	if err := r.to.raise(t.Context(), r.to.last.Load()+10*askEvery*maxSenders, func(int64) {}); !errors.Is(err, errLost) {
		t.Errorf("got %v, want %v", err, errLost)
	}
}

// TestAMoveBackWhoseLastAnswerWasLostHasSucceeded has etcd carry out the last step, and the command get an error for it.
func TestAMoveBackWhoseLastAnswerWasLostHasSucceeded(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	f.back.before = func(step string) error {
		if step == "serve" {
			meta := f.description()
			meta.State, meta.Before, meta.V2Edits = layout.Unfinished, "", false
			f.put(string(layout.Keys("p").Meta()), string(meta.Encode()))
		}
		return nil
	}
	if _, err := f.back.Run(t.Context()); err != nil {
		t.Errorf("got %v, want that the keys are moved", err)
	}
	if status := f.v2write("PUT", "/after", value("1")); status != http.StatusCreated {
		t.Errorf("a write at the v2 API, which has the keys: got the status %d, want %d", status, http.StatusCreated)
	}
}
