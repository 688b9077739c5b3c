package v2state_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/v2state"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// member is an etcd whose files are read.
type member struct {
	t      *testing.T
	url    string
	source v2state.Source
}

// eachEtcd runs a test with etcd 3.5, which is linked in, and with the installed etcd 3.4. Each writes a
// snapshot after so many entries.
func eachEtcd(t *testing.T, snapshots uint64, test func(m *member)) {
	t.Run("3.5", func(t *testing.T) {
		dir := t.TempDir()
		e, err := proxytest.StartEmbedded(proxytest.Options{Dir: dir, SnapshotCount: snapshots})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		test(&member{t, e.URL(), v2state.Source{DataDir: dir}})
	})
	t.Run("3.4", func(t *testing.T) {
		path, version, ok := proxytest.FindEtcd()
		if !ok || !strings.HasPrefix(version, "3.4.") {
			t.Skip("no etcd 3.4 is installed")
		}
		dir := t.TempDir()
		p, err := proxytest.StartProcess(path, proxytest.Options{Dir: dir, SnapshotCount: snapshots})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		test(&member{t, p.URL(), v2state.Source{DataDir: filepath.Join(dir, "data"), UpdatesDirs: true}})
	})
}

// node is a node in an answer of etcd.
type node struct {
	Key                         string
	Value                       string
	Dir                         bool
	CreatedIndex, ModifiedIndex uint64
	Expiration                  *time.Time
	Nodes                       []*node
}

func (n *node) String() string {
	expires := int64(0)
	if n.Expiration != nil {
		expires = n.Expiration.UnixNano()
	}
	return fmt.Sprintf("%s dir=%t %q %d %d %d", n.Key, n.Dir, n.Value, n.CreatedIndex, n.ModifiedIndex, expires)
}

func (n *node) flat(to map[string]string) {
	if n.Key != "" {
		to[n.Key] = n.String()
	}
	for _, child := range n.Nodes {
		child.flat(to)
	}
}

// do sends a request, and returns the node of the answer and the index of etcd. The node is nil if etcd refuses.
func (m *member) do(method, key, form string) (*node, uint64) {
	m.t.Helper()
	r, err := http.NewRequest(method, m.url+"/v2/keys"+(&url.URL{Path: key}).EscapedPath(), strings.NewReader(form))
	if method == "GET" || method == "DELETE" {
		r, err = http.NewRequest(method, m.url+"/v2/keys"+(&url.URL{Path: key}).EscapedPath()+"?"+form, nil)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Node *node }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		m.t.Fatalf("%s %s %s: %v", method, key, form, err)
	}
	index, _ := strconv.ParseUint(resp.Header.Get("X-Etcd-Index"), 10, 64)
	return answer.Node, index
}

// answers returns what the member has: what it lists, and the hidden keys of a list, by the answers about each
// of them.
func (m *member) answers(hidden []string) (nodes map[string]string, index uint64) {
	m.t.Helper()
	nodes = map[string]string{}
	root, index := m.do("GET", "/", "recursive=true&quorum=true")
	root.flat(nodes)
	for _, key := range hidden {
		if n, _ := m.do("GET", key, "recursive=true&quorum=true"); n != nil {
			n.flat(nodes)
		}
	}
	if _, after := m.do("GET", "/", "quorum=true"); after != index {
		return m.answers(hidden) // something has expired meanwhile
	}
	return nodes, index
}

// compare reads the files, and compares them with the answers of the member.
func (m *member) compare(hidden ...string) *v2state.State {
	m.t.Helper()
	want, index := m.answers(hidden)
	state, err := m.source.Read(index)
	if err != nil {
		m.t.Fatal(err)
	}
	got := map[string]string{}
	for r := range state.Records() {
		n := &node{Key: r.Key, Value: r.Value, Dir: r.Dir, CreatedIndex: r.Created, ModifiedIndex: r.Modified}
		if r.Expires != 0 {
			at := time.Unix(0, r.Expires)
			n.Expiration = &at
		}
		got[r.Key] = n.String()
	}
	for key, w := range want {
		if got[key] != w {
			m.t.Errorf("%s: the files have %q, want %q, the answer of the member", key, got[key], w)
		}
	}
	for key, g := range got {
		if want[key] == "" {
			m.t.Errorf("%s: the files have %q, and the member has not", key, g)
		}
	}
	if state.Index() != index {
		m.t.Errorf("the files are read at the index %d, want %d", state.Index(), index)
	}
	return state
}

func TestHiddenKeysThatChangedBehindTheSnapshotAreReadFromTheFiles(t *testing.T) {
	eachEtcd(t, 60, func(m *member) {
		for key, form := range map[string]string{"/app/_old": "value=1", "/app/_changed": "value=1", "/app/_deleted/x": "value=1", "/_dir": "dir=true", "/app/seen": "value=1"} {
			m.do("PUT", key, form)
		}
		expiring, _ := m.do("PUT", "/app/_expires", "value=1&ttl=1")
		for i := range 80 {
			m.do("PUT", "/count", fmt.Sprint("value=", i))
		}
		m.do("PUT", "/app/_changed", "value=2&ttl=1000")
		m.do("PUT", "/app/_new", "value=<&é\u2028")
		m.do("DELETE", "/app/_deleted", "recursive=true")
		m.do("POST", "/_queue", "value=job")
		m.do("GET", "/app/_expires", fmt.Sprint("wait=true&waitIndex=", expiring.ModifiedIndex+1))
		queue, _ := m.do("GET", "/_queue", "quorum=true")
		state := m.compare("/app/_old", "/app/_changed", "/app/_new", "/_dir", "/_queue")
		if state.Snapshot == "" || state.Entries == 0 || state.Entries > 100 || len(queue.Nodes) != 1 {
			t.Errorf("read the snapshot %q and %d entries behind it, want a snapshot and some entries", state.Snapshot, state.Entries)
		}
	})
}

// TestTheFilesSayWhatTheMemberAnswers makes random changes, with snapshots between them and without any.
func TestTheFilesSayWhatTheMemberAnswers(t *testing.T) {
	for _, snapshots := range []uint64{0, 70} {
		eachEtcd(t, snapshots, func(m *member) {
			seed := rand.Uint64()
			m.t.Log("seed", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			pick := func(from ...string) string { return from[r.IntN(len(from))] }
			for i := range 400 {
				key := ""
				for range 1 + r.IntN(3) {
					key += "/" + pick("a", "b", "_h", "d")
				}
				method, form := pick("PUT", "PUT", "PUT", "POST", "DELETE"), ""
				switch method {
				case "DELETE":
					form = pick("", "dir=true", "recursive=true", "prevValue=1", "prevIndex=9")
				default:
					form = pick("value=1", "value=2", "dir=true", "refresh=true") + pick("", "", "&ttl=", "&ttl=0", "&ttl=1", "&ttl=100", "&ttl=1000") +
						pick("", "", "&prevExist=true", "&prevExist=false", "&prevValue=1", fmt.Sprint("&prevIndex=", i))
				}
				m.do(method, key, form)
				if i%100 == 99 {
					m.compare(hiddenKeys()...)
				}
			}
		})
	}
}

// hiddenKeys returns all keys of the random changes that can be hidden. The nodes below one of them that
// are not hidden are in the answer about it.
func hiddenKeys() (keys []string) {
	names := []string{"a", "b", "_h", "d"}
	for _, a := range names {
		for _, b := range names {
			keys = append(keys, "/"+a, "/"+a+"/"+b)
			for _, c := range names {
				keys = append(keys, "/"+a+"/"+b+"/"+c)
			}
		}
	}
	keys = slices.DeleteFunc(keys, func(key string) bool {
		return !strings.Contains(key, "_") || !strings.HasPrefix(key[strings.LastIndex(key, "/"):], "/_")
	})
	slices.Sort(keys)
	return slices.Compact(keys)
}

// TestChangesOfMembersRaiseTheIndex adds a member that does not count for the quorum.
func TestChangesOfMembersRaiseTheIndex(t *testing.T) {
	eachEtcd(t, 0, func(m *member) {
		c, err := rpc.New([]rpc.Endpoint{{Addr: strings.TrimPrefix(m.url, "http://")}}, "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		m.do("PUT", "/before", "value=1")
		added, err := c.Cluster().MemberAdd(context.Background(), &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:1"}, IsLearner: true})
		if err != nil {
			t.Fatal(err)
		}
		m.do("PUT", "/added", "value=1")
		// The URL is taken, and there is a learner already.
		for _, refused := range []*pb.MemberAddRequest{{PeerURLs: []string{"http://127.0.0.1:1"}}, {PeerURLs: []string{"http://127.0.0.1:3"}, IsLearner: true}} {
			if _, err := c.Cluster().MemberAdd(context.Background(), refused); err == nil {
				t.Fatalf("etcd has added %+v, want that it refuses", refused)
			}
		}
		m.do("PUT", "/refused", "value=1")
		if _, err := c.Cluster().MemberUpdate(context.Background(), &pb.MemberUpdateRequest{ID: added.Member.ID, PeerURLs: []string{"http://127.0.0.1:2"}}); err != nil {
			t.Fatal(err)
		}
		m.do("PUT", "/updated", "value=1")
		if _, err := c.Cluster().MemberRemove(context.Background(), &pb.MemberRemoveRequest{ID: added.Member.ID}); err != nil {
			t.Fatal(err)
		}
		m.do("PUT", "/removed", "value=1")
		m.compare()
	})
}
