package migration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/changeover"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// moved is a fleet whose tree has the keys, and a move back of them.
type moved struct {
	*fleet
	back *Back
	tree *v2v3.Store
}

func newMoved(t *testing.T, proxies int) *moved {
	t.Helper()
	return newFleet(t, proxies).switched()
}

// switched moves the keys of a fleet.
func (f *fleet) switched() *moved {
	f.t.Helper()
	if _, err := f.sw.Run(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	b := &Back{Rehearsal: f.sw.Rehearsal, Fleet: f.sw.Fleet}
	b.DataDir, b.settling = "", 50*time.Millisecond
	return &moved{f, b, f.tree()}
}

// v2 returns etcd's answer about a key of the v2 API.
func (f *moved) v2(query string) (status int, index uint64, body string) {
	f.t.Helper()
	resp, err := http.Get(f.url + "/v2/keys" + query)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	_, _ = fmt.Sscan(resp.Header.Get("X-Etcd-Index"), &index)
	return resp.StatusCode, index, string(text)
}

// write writes to the tree.
func (f *moved) write(path string, form url.Values) {
	f.t.Helper()
	if a := f.do(f.tree, "PUT", path, form.Encode()); a.Failed {
		f.t.Fatalf("PUT %s: got %s", path, a.Body)
	}
}

// records returns the nodes of the tree that the store has.
func (f *moved) records() []v2store.Record {
	f.t.Helper()
	r := retreat{Back: f.back}
	if err := r.load(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	return r.records
}

func TestAMoveBackBringsAllKeys(t *testing.T) {
	t.Parallel()
	for _, dataDir := range []bool{false, true} {
		t.Run(fmt.Sprint("with a data folder ", dataDir), func(t *testing.T) {
			t.Parallel()
			f := newMoved(t, 3)
			if dataDir {
				f.back.DataDir = f.sw.DataDir
				f.back.Connection.Endpoints = []string{f.url, f.url + "/"} // the first is that of the files
			}
			f.write("/bytes", value("\xff\xfe"))
			f.write("/dir/key1", value("a&b=c%; é"))
			f.write("/ttl", url.Values{"dir": {"true"}, "ttl": {"300"}})
			f.write("/ttl/a/b", value("1"))
			f.write("/empty", url.Values{"dir": {"true"}})
			f.write("/_hidden/_more/b", url.Values{"value": {"2"}, "ttl": {"400"}})
			f.do(f.tree, "DELETE", "/dir/key2", "")
			f.do(f.tree, "DELETE", "/dir/key3", "")
			f.write("/dir/key3/now/a/directory", value("3"))
			f.do(f.tree, "POST", "/queue", "value=1")
			f.back.before = func(step string) error {
				if step == "freeze" { // after the nodes were copied
					f.write("/late", value("4"))
					f.write("/dir/key4", value("5"))
					f.write("/_hidden/_more/b", url.Values{"value": {"2"}, "ttl": {"200"}})
					f.do(f.tree, "DELETE", "/dir/key5", "")
				}
				return nil
			}
			outlook, err := f.back.Check(t.Context())
			if err != nil || outlook.Nodes != len(f.records()) || outlook.Gap == 0 {
				t.Errorf("before: got %+v and %v, want %d nodes and a gap", outlook, err, len(f.records()))
			}
			result, err := f.back.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := f.records()
			got := f.take()
			if d, expired := compareCopy(want, got.records, time.Now()); d.Count > 0 || expired > 0 {
				t.Errorf("the v2 API: got %d nodes that have expired and the differences %+v, want none", expired, d)
			}
			for _, r := range got.records {
				if r.Key == "/bytes" && r.Value != "\xff\xfe" {
					t.Errorf("a value with bytes that are not UTF-8: got %q", r.Value)
				}
			}
			last := f.do(f.tree, "GET", "/late", "").Index
			if status, index, body := f.v2("/late"); status != 200 || index < last+keptEvents || index != result.Index {
				t.Errorf("a key of the v2 API: got %d with the index %d and %s, want 200 and an index more than %d above %d", status, index, body, keptEvents, last)
			}
			if status, _, body := f.v2(fmt.Sprintf("/?recursive=true&wait=true&waitIndex=%d", last+1)); status != 400 || !strings.Contains(body, `"errorCode":401`) {
				t.Errorf("a watch from the last index of the tree on: got %d %s, want 400 and the error 401", status, body)
			}
			if result.Nodes != len(want) || result.Changed != 4 || result.Written == 0 {
				t.Errorf("got %+v, want %d nodes of which 4 were changed meanwhile", result, len(want))
			}
			for _, p := range f.proxies {
				w := f.admitted(p)
				if err := w.Confirm(t.Context()); err != nil || p.Tree() {
					t.Errorf("a write after the move back: got %v and tree %t, want it confirmed", err, p.Tree())
				}
				w.Done()
			}
			f.tree.Close()
			if _, err := f.sw.Run(t.Context()); err != nil {
				t.Fatalf("moving the keys again: %v", err)
			}
			if a := f.do(f.fleet.tree(), "GET", "/dir/key3/now/a/directory", ""); a.Status != 200 {
				t.Errorf("a key after the keys were moved again: got %s", a.Body)
			}
		})
	}
}

// TestAMoveBackThatIsKilledAtAnyStepIsTakenBack kills a move back before each of its steps.
func TestAMoveBackThatIsKilledAtAnyStepIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, step := range BackSteps {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			f := newMoved(t, 2)
			f.back.before = func(now string) error {
				if now == step {
					return errKilled
				}
				return nil
			}
			if _, err := f.back.Run(t.Context()); !errors.Is(err, errKilled) {
				t.Fatalf("got %v, want that it was killed", err)
			}
			f.expireLock()
			f.live()
			f.back.before, f.back.killed = nil, false
			f.write("/dir/key7", value("again"))
			if _, err := f.back.Run(t.Context()); err != nil {
				t.Fatalf("the move back is run again: %v", err)
			}
			if status, _, body := f.v2("/dir/key7"); status != 200 || !strings.Contains(body, `"value":"again"`) {
				t.Errorf("a key after the second attempt: got %d %s", status, body)
			}
		})
	}
}

// live waits until the tree takes writes through all proxies.
func (f *moved) live() {
	f.t.Helper()
	for _, p := range f.proxies {
		if _, err := admit(f.t.Context(), p); !errors.Is(err, changeover.ErrSwitched) {
			f.t.Errorf("a write: got %v, want that the tree takes it", err)
		}
	}
	for {
		op, _ := v2store.Parse(&v2store.Request{Method: "PUT", Path: "/dir/live", ContentType: "application/x-www-form-urlencoded", Body: "value=1"}, time.Now())
		_, err := f.tree.Do(f.t.Context(), op)
		var failure *v2v3.Error
		if !errors.As(err, &failure) || failure.Kind != v2v3.NotLive {
			if err != nil {
				f.t.Errorf("a write to the tree: got %v", err)
			}
			return
		}
		time.Sleep(5 * time.Millisecond) //nolint:forbidigo // the tree learns of the thaw by itself
	}
}

// TestAMoveBackThatFailsIsTakenBackAtOnce has what is not as it must be.
func TestAMoveBackThatFailsIsTakenBackAtOnce(t *testing.T) {
	t.Parallel()
	past := func(step string, do func(*moved)) func(*moved) {
		return func(f *moved) {
			f.back.before = func(now string) error {
				if now == step {
					do(f)
				}
				return nil
			}
		}
	}
	for name, c := range map[string]struct {
		prepare func(*moved)
		want    string
	}{
		"a key is written past the proxies":    {past("prove", func(f *moved) { f.fleet.write("/dir/past", value("1")) }), `"/dir/past" is there, and must not be`},
		"a value is written past the proxies":  {past("prove", func(f *moved) { f.fleet.write("/dir/key3", value("9")) }), `"/dir/key3" has another value`},
		"a value is written again past them":   {past("prove", func(f *moved) { f.fleet.write("/dir/key3", value("1")) }), "the index of the v2 API has grown by 1"},
		"a key is removed past the proxies":    {past("prove", func(f *moved) { f.remove("/dir/key3") }), `"/dir/key3" is missing`},
		"an expiry is written past them":       {past("prove", func(f *moved) { f.fleet.write("/short", url.Values{"value": {"3"}, "ttl": {"100"}}) }), `"/short" expires`},
		"a hidden key is removed past them":    {past("prove", func(f *moved) { f.remove("/_hidden/a") }), `"/_hidden/a" is missing`},
		"the tree is written past the command": {past("serve", func(f *moved) { f.put("p.v2/log", "{}") }), "the lock of the command was lost"},
		"a proxy comes": {past("hold", func(f *moved) {
			p := layout.Presence{Host: "conf1009", Auto: true}
			f.put(string(layout.Keys("p").Session("new")), string(p.Encode()))
		}), "3 proxies follow the changeover"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newMoved(t, 2)
			c.prepare(f)
			if _, err := f.back.Run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got the error %v, want %q", err, c.want)
			}
			if status := f.v2write(http.MethodPut, "/late", value("1")); status != http.StatusUnauthorized {
				t.Errorf("a write at the v2 API: got %d, want that it is locked again", status)
			}
			found, err := changeover.Look(t.Context(), f.client, "p")
			if err != nil || found.State != layout.Live || found.Locked || !found.Moved {
				t.Errorf("got %+v, %v; want the state %q and no lock", found, err, layout.Live)
			}
		})
	}
}

// TestNothingThatExpiresComesBack has nodes that are due while the keys are moved back.
func TestNothingThatExpiresComesBack(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	f.write("/gone/dir", url.Values{"dir": {"true"}, "ttl": {"1"}})
	f.write("/gone/dir/file", value("1"))
	f.write("/gone/file", url.Values{"value": {"1"}, "ttl": {"1"}})
	f.back.before = func(step string) error {
		if step == "read" { // the tree is frozen, and nobody expires them there
			time.Sleep(1500 * time.Millisecond) //nolint:forbidigo // only the clock ends them
		}
		return nil
	}
	if _, err := f.back.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for { // etcd expires what it still has by itself
		_, _, body := f.v2("/gone?recursive=true")
		var answer struct{ Node struct{ Nodes []any } }
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatal(err)
		}
		if len(answer.Node.Nodes) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // only etcd's clock ends them
	}
}

// TestADirectoryWhoseTimeToLiveIsRefreshedMeanwhileIsMovedBack has nothing else change: a refresh leaves the indexes.
func TestADirectoryWhoseTimeToLiveIsRefreshedMeanwhileIsMovedBack(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	f.write("/svc", url.Values{"dir": {"true"}, "ttl": {"300"}})
	f.write("/svc/a", value("1"))
	f.back.before = func(step string) error {
		if step == "freeze" {
			f.write("/svc?prevExist=true", url.Values{"dir": {"true"}, "ttl": {"600"}})
		}
		return nil
	}
	if _, err := f.back.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d, expired := compareCopy(f.records(), f.take().records, time.Now()); d.Count > 0 || expired > 0 {
		t.Errorf("the v2 API: got %d nodes that have expired and the differences %+v, want none", expired, d)
	}
}

// TestWhatChangesWhileTheIndexIsRaisedIsCopiedBeforeWritesAreHeld looks at the v2 API when they are about to be.
func TestWhatChangesWhileTheIndexIsRaisedIsCopiedBeforeWritesAreHeld(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	f.back.before = func(step string) error {
		switch step {
		case "raise":
			f.write("/dir/key3", value("2"))
			f.write("/late", value("3"))
			f.do(f.tree, "DELETE", "/dir/key4", "")
		case "freeze":
			for key, want := range map[string]int{"/late": 200, "/dir/key4": 404} {
				if status, _, body := f.v2(key); status != want {
					t.Errorf("%s before writes are held: got %d %s, want %d", key, status, body, want)
				}
			}
			if _, _, body := f.v2("/dir/key3"); !strings.Contains(body, `"value":"2"`) {
				t.Errorf("before writes are held: got %s, want the value 2", body)
			}
		}
		return nil
	}
	result, err := f.back.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if result.Changed != 3 {
		t.Errorf("got %d nodes that were changed meanwhile, want 3", result.Changed)
	}
}

func TestATreeThatWasNotMovedIsNotMovedBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	b := &Back{Rehearsal: f.sw.Rehearsal, Fleet: Fleet{Expect: 1, MaxHold: time.Second}}
	if _, err := b.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "the store has no tree that was moved") {
		t.Errorf("without a tree: got %v", err)
	}
	if err := v2v3.Init(t.Context(), f.sw.Store, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "the store has no tree that was moved") {
		t.Errorf("with a tree that was made empty: got %v", err)
	}
}

func TestAnIndexThatIsTooFarAwayIsNotRaised(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	f.tree.Close()
	found, err := f.client.Range(t.Context(), &pb.RangeRequest{Key: layout.Keys("p").Meta()})
	if err != nil {
		t.Fatal(err)
	}
	meta, err := layout.DecodeMeta(found.Kvs[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	meta.Offset += maxGap + 1
	f.put(string(layout.Keys("p").Meta()), string(meta.Encode()))
	if _, err := f.back.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "want at most 5000000") {
		t.Errorf("got %v, want that the index is too far away", err)
	}
}
