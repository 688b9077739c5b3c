package recovery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/proxy/proxytest"
)

// recovered is a recovery whose cluster runs already, with its notes.
type recovered struct {
	*Recovery
	t       *testing.T
	notes   []string
	members []client.Member
	first   Member
}

// startRecovered starts members that are embedded.
func startRecovered(t *testing.T, members int) *recovered {
	t.Helper()
	c, err := proxytest.NewCluster(proxytest.ClusterOptions{Dir: t.TempDir(), Advertise: make([]string, members)})
	t.Cleanup(c.Close)
	if err != nil {
		t.Fatal(err)
	}
	r := &recovered{t: t}
	r.Recovery = &Recovery{Wait: 20 * time.Second, Connection: cluster.Connection{Timeout: 10 * time.Second}, Note: func(text string) { r.notes = append(r.notes, text) }}
	for _, m := range c.Members {
		r.Members = append(r.Members, Member{Name: m.Name(), Peer: m.PeerURL(), Client: m.URL(), Advertise: m.URL()})
	}
	all, err := r.Recovery.members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.members = all
	for _, m := range r.Members {
		if m.Name == all[0].Name {
			r.first = m
		}
	}
	return r
}

// source is a backup from which the member with this id was started.
func (r *recovered) source(id string) *source {
	r.t.Helper()
	n, err := strconv.ParseUint(id, 16, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return &source{identity: memberhost.Identity{Member: memberhost.ID(n)}}
}

// refused checks that a check fails with an error that has a text. One that waits gives up soon, but not
// before it has tried once.
func (r *recovered) refused(what, want string, check func(context.Context) error) {
	r.t.Helper()
	defer func(wait time.Duration) { r.Wait = wait }(r.Wait)
	r.Wait = 100 * time.Millisecond
	if err := check(r.t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		r.t.Errorf("%s: got the error %v, want %q in it", what, err, want)
	}
}

func TestTheFirstMemberMustBeAloneAndTheOneOfTheBackup(t *testing.T) {
	t.Parallel()
	r := startRecovered(t, 1)
	good, id := r.Members[0], r.members[0].ID
	if err := r.checkAlone(t.Context(), good, r.source(id)); err != nil {
		t.Errorf("the member of the backup: %v", err)
	}
	other := good
	other.Name = "other"
	r.refused("another name", "but should have only other", func(ctx context.Context) error { return r.checkAlone(ctx, other, r.source(id)) })
	r.refused("another id", "waiting for "+good.Name+" to serve: ", func(ctx context.Context) error { return r.checkAlone(ctx, good, r.source("abc")) })
	if err := r.checkPeerURL(t.Context(), good); err != nil {
		t.Errorf("its peer URL: %v", err)
	}
	other.Peer = "http://127.0.0.1:1"
	r.refused("another peer URL", "but the peer URL should be http://127.0.0.1:1", func(ctx context.Context) error { return r.checkPeerURL(ctx, other) })
	if err := r.checkAdded(t.Context(), good); err != nil {
		t.Errorf("a member that is there: %v", err)
	}
	r.refused("a member that was not added", "but one should have the peer URL http://127.0.0.1:1", func(ctx context.Context) error { return r.checkAdded(ctx, other) })
	if err := r.waitMember(t.Context(), good); err != nil {
		t.Errorf("waiting for a member that serves: %v", err)
	}
	r.refused("a member that has not started", "waiting for other to start: ", func(ctx context.Context) error { return r.waitMember(ctx, other) })
	r.Members[0].Client = "http://" + unusedAddr(t)
	for what, check := range map[string]func(context.Context) error{
		"checkAlone":   func(ctx context.Context) error { return r.checkAlone(ctx, good, r.source(id)) },
		"checkPeerURL": func(ctx context.Context) error { return r.checkPeerURL(ctx, good) },
		"checkAdded":   func(ctx context.Context) error { return r.checkAdded(ctx, good) },
		"waitMember":   func(ctx context.Context) error { return r.waitMember(ctx, good) },
		"compareKeys":  func(ctx context.Context) error { return r.compareKeys(ctx, r.source(id)) },
	} {
		r.refused(what+" of a cluster that does not answer", "", check)
	}
}

func TestAFirstMemberWithOthersIsNotAlone(t *testing.T) {
	t.Parallel()
	r := startRecovered(t, 2)
	r.refused("a cluster of two", "but should have only "+r.first.Name, func(ctx context.Context) error {
		return r.checkAlone(ctx, r.first, r.source(r.members[0].ID))
	})
	if err := r.checkPeerURL(t.Context(), r.first); err == nil {
		t.Error("the peer URL of a cluster of two: got no error")
	}
	for _, m := range r.Members {
		if err := errors.Join(r.checkAdded(t.Context(), m), r.waitMember(t.Context(), m)); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
}

func TestTheKeysOfARecoveredClusterAreComparedWithThoseOfTheBackup(t *testing.T) {
	t.Parallel()
	r := startRecovered(t, 1)
	put(t, r.Members[0].Client, "/a", "1")
	c, err := r.connect()
	if err != nil {
		t.Fatal(err)
	}
	has, err := readTree(t.Context(), client.NewKeysAPI(c), true)
	if err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		manifest *Manifest
		want     string
	}{
		"a data folder":       {nil, ""},
		"keys not counted":    {&Manifest{}, ""},
		"keys without digest": {&Manifest{Keys: &Keys{Count: 1}}, ""},
		"the same keys":       {&Manifest{Keys: has.keys()}, "the keys that do not expire are exactly those of the backup"},
		"other keys":          {&Manifest{Keys: &Keys{Count: 2, Digest: "sha256:0"}}, "NOTE: they differ from those of the backup, which has 2 keys: clients have written since then, or backup was changed"},
	} {
		r.notes = nil
		if err := r.compareKeys(t.Context(), &source{path: "/some/backup", manifest: test.manifest}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		want := strings.TrimSpace("the cluster has 1 key\n" + test.want)
		if got := strings.Join(r.notes, "\n"); got != want {
			t.Errorf("%s: got the notes %q, want %q", what, got, want)
		}
	}
}

// TestTheKeysOfTheV3StoreAreCountedOrSaidToBeUnknown asks the gateways of several versions of etcd. Each
// has one at another path, and one has none.
func TestTheKeysOfTheV3StoreAreCountedOrSaidToBeUnknown(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		path, answer string
		status       int
		want         string
	}{
		{"/v3/kv/range", `{"count":"0"}`, 200, ""},
		{"/v3/kv/range", `{}`, 200, ""},
		{"/v3/kv/range", `{"count":"1"}`, 200, "the 1 key of the v3 store"},
		{"/v3beta/kv/range", `{"count":"2"}`, 200, "the 2 keys of the v3 store"},
		{"/v3alpha/kv/range", `{"count":"3"}`, 200, "the 3 keys of the v3 store"},
		{"/none", `{"count":"3"}`, 200, "the keys of the v3 store, if there are any: they could not be counted (it has no gateway for JSON)"},
		{"/v3/kv/range", `{"count":"3"}`, 403, "the keys of the v3 store, if there are any: they could not be counted (it answers /v3/kv/range with status 403)"},
		{"/v3/kv/range", `x`, 200, "the keys of the v3 store, if there are any: they could not be counted (invalid character"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			switch {
			case q.URL.Path != test.path:
				w.WriteHeader(http.StatusNotFound)
			case q.Method != http.MethodPost || q.Header.Get("Content-Type") != "application/json":
				w.WriteHeader(http.StatusBadRequest)
			default:
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.answer)
			}
		}))
		var notes []string
		b := &Backup{Note: func(text string) { notes = append(notes, text) }, Connection: cluster.Connection{Endpoints: []string{server.URL}, Timeout: 10 * time.Second}}
		member, err := newMemberReader(&b.Connection)
		if err != nil {
			t.Fatal(err)
		}
		m := &Manifest{V3LeftOut: "what was there before"}
		b.noteV3(t.Context(), m, member)
		if m.V3LeftOut != test.want && !(strings.HasSuffix(test.want, "character") && strings.HasPrefix(m.V3LeftOut, test.want)) {
			t.Errorf("%s with %s: %q is left out, want %q", test.path, test.answer, m.V3LeftOut, test.want)
		}
		if warned := len(notes) == 1 && strings.HasPrefix(notes[0], "WARNING: the backup will not contain "+m.V3LeftOut+" (hint: "); warned != (test.want != "") || len(notes) > 1 {
			t.Errorf("%s with %s: got the notes %q, want one if something is left out", test.path, test.answer, notes)
		}
		server.Close()
	}
	var notes []string
	b := &Backup{Note: func(text string) { notes = append(notes, text) }}
	offline := &Manifest{}
	if b.noteV3(t.Context(), offline, nil); !strings.Contains(offline.V3LeftOut, "they were not counted, because --offline reads nothing") || len(notes) != 1 {
		t.Errorf("--offline: %q is left out with the notes %q, want that the keys were not counted", offline.V3LeftOut, notes)
	}
	b.WithV3, notes = true, nil
	whole := &Manifest{}
	if b.noteV3(t.Context(), whole, nil); whole.V3LeftOut != "" || len(notes) != 0 {
		t.Errorf("with the v3 store: %q is left out with the notes %q, want nothing", whole.V3LeftOut, notes)
	}
}
