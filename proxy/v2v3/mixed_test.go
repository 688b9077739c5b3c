package v2v3

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
)

// TestProxiesOfTwoLayoutsShareAStore has a proxy that knows a newer layout beside one that does not, and a tree that
// the older one may write, then only read, then not even that.
func TestProxiesOfTwoLayoutsShareAStore(t *testing.T) {
	t.Parallel()
	older := start(t)
	eventually(t, "the older one is the keeper", func() bool { return older.Status().Keeper })
	o := older.options
	o.known = layout.Schema + 1
	newer := open(t, o)
	c := older.client()
	describe := func(minRead, minWrite int) {
		t.Helper()
		m := newer.described()
		m.Schema, m.MinRead, m.MinWrite = layout.Schema+1, minRead, minWrite
		answer, err := c.Put(testContext(t), &pb.PutRequest{Key: older.keys.Meta(), Value: m.Encode()})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "both have seen the description", func() bool {
			return newer.knows(answer.Header.Revision) && older.knows(answer.Header.Revision)
		})
	}
	write := func(s *Store, key string) error {
		_, err := s.Do(testContext(t), parse(t, "PUT "+key+"?value=1"))
		return err
	}
	refused := func(what string, err error, kind Kind, minimum int) {
		t.Helper()
		var failure *Error
		want := fmt.Sprintf("know the version %d of its layout, and this one knows %d (hint: upgrade this program)", minimum, layout.Schema)
		if !errors.As(err, &failure) || failure.Kind != kind || !strings.Contains(failure.Reason, want) {
			t.Errorf("%s: got the error %v, want one of the kind %d with %q", what, err, kind, want)
		}
	}

	describe(1, 1)
	if err := errors.Join(write(older.Store, "/older"), write(newer, "/newer")); err != nil {
		t.Errorf("writes of both: got %v, want none", err)
	}

	describe(1, layout.Schema+1)
	events, _, stop := older.watch("GET /?recursive=true&wait=true")
	defer stop()
	refused("a write of the older one", write(older.Store, "/a"), NotExecuted, layout.Schema+1)
	if status := older.Status(); !status.Serving || !strings.Contains(status.ReadOnly, "upgrade this program") || newer.Status().ReadOnly != "" {
		t.Errorf("got the status %+v of the older one and %q of the newer one, want that only the older one is read only", status, newer.Status().ReadOnly)
	}
	if err := write(newer, "/a"); err != nil {
		t.Errorf("a write of the newer one: got %v", err)
	}
	if event := next(t, events); !strings.Contains(event, `"key":"/a"`) {
		t.Errorf("a watch at the older one: got %s, want the write of the newer one", event)
	}
	if got := do(t, older.Store, "GET /a?quorum=true"); !strings.HasPrefix(got, "200 ") {
		t.Errorf("a read at the older one: got %s", got)
	}
	// Only one of them may expire nodes.
	if got := do(t, newer, "PUT /short?value=1&ttl=1"); !strings.HasPrefix(got, "201 ") {
		t.Fatalf("a node that expires: got %s", got)
	}
	eventually(t, "the newer one has expired the node", func() bool { return newer.Status().Expired == 1 })
	if older.Status().Expired != 0 || older.Status().Keeper {
		t.Errorf("the older one: got %+v, want that it expires nothing", older.Status())
	}

	describe(layout.Schema+1, layout.Schema+1)
	_, err := older.Do(testContext(t), parse(t, "GET /a"))
	refused("a read at the older one", err, NotServed, layout.Schema+1)
	refused("a write at the older one", write(older.Store, "/b"), NotServed, layout.Schema+1)
	if status := older.Status(); status.Serving || !strings.Contains(status.Reason, "upgrade this program") {
		t.Errorf("the status of the older one: got %+v, want that it serves nothing, with the reason", status)
	}
	late, err := Open(older.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(late.Close)
	eventually(t, "an older one that is started says why it serves nothing", func() bool { return strings.Contains(late.Status().Reason, "upgrade this program") })
	if err := write(newer, "/b"); err != nil {
		t.Errorf("a write of the newer one: got %v", err)
	}

	describe(1, 1) // as after a way back
	if err := older.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the older one writes", func() bool { return write(older.Store, "/c") == nil })
	if got, want := do(t, older.Store, "GET /?recursive=true&quorum=true"), do(t, newer, "GET /?recursive=true&quorum=true"); got != want {
		t.Errorf("the older one has %s, and the newer one %s; want the same", got, want)
	}
}
