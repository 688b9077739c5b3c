package migration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/proxy/v2store"
)

// member is the member whose files are read.
type member struct {
	client            client.Client
	id, name, version string
	// cluster is the one to which it must belong: that of the files, or else that of the store.
	cluster memberhost.ID
	files   bool
}

// get is the request of a read. The library has no functions for most of them.
type get struct{ path, query string }

func (g get) HTTPRequest(endpoint url.URL) *http.Request {
	endpoint.Path, endpoint.RawQuery = g.path, g.query
	return &http.Request{Method: http.MethodGet, URL: &endpoint, Host: endpoint.Host, Header: make(http.Header)}
}

// member connects to the member, and checks that it is the one whose data folder is read: the answer of
// another one says nothing about how far this one's log reaches.
func (r *Rehearsal) member(ctx context.Context) (*member, error) {
	if len(r.Connection.Endpoints) != 1 {
		return nil, fmt.Errorf("--endpoints names %d members, but must name the one whose data folder is read", len(r.Connection.Endpoints))
	}
	identity, err := memberhost.Identify(r.DataDir, r.WALDir)
	if err != nil {
		return nil, fmt.Errorf("reading the data folder: %w", err)
	}
	m, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	m.cluster, m.files = identity.Cluster, true
	if id, err := strconv.ParseUint(m.id, 16, 64); err != nil || memberhost.ID(id) != identity.Member {
		return nil, fmt.Errorf("the member at %s is %s, but the data folder %s belongs to %s (hint: --endpoints must be the client URL of the member on this machine, not that of another member or of a proxy of several)", r.Connection.Endpoints[0], m.id, r.DataDir, identity.Member)
	}
	return m, nil
}

// at returns the rehearsal with one endpoint.
func (r *Rehearsal) at(endpoint string) *Rehearsal {
	one := *r
	one.Connection.Endpoints = []string{endpoint}
	return &one
}

// connect connects to a member, and checks that it serves the v2 API.
func (r *Rehearsal) connect(ctx context.Context) (*member, error) {
	etcd, err := r.Connection.Client()
	if err != nil {
		return nil, err
	}
	m := &member{client: etcd}
	at := strings.Join(r.Connection.Endpoints, ", ")
	var version struct {
		Etcdserver string `json:"etcdserver"`
	}
	if _, err := m.read(ctx, get{path: "/version"}, &version); err != nil {
		return nil, fmt.Errorf("connecting to the member at %s: %w (hint: --endpoints must be the client URL of a member)", at, err)
	}
	var self struct{ ID, Name string }
	if _, err := m.read(ctx, get{path: "/v2/stats/self"}, &self); err != nil {
		return nil, fmt.Errorf("the member at %s, etcd %s, does not serve the v2 API: %w (hint: that is etcd 3.4 or 3.5 with --enable-v2=true)", at, version.Etcdserver, err)
	}
	m.id, m.name, m.version = self.ID, self.Name, version.Etcdserver
	return m, nil
}

// memberAt returns the member with an id, or any if that is "", to which one of the URLs leads.
func (r *Rehearsal) memberAt(ctx context.Context, urls []string, id string) (*member, error) {
	last := errors.New("none of upstream.endpoints leads to it")
	for _, url := range urls {
		m, err := r.at(url).connect(ctx)
		switch {
		case err != nil:
			last = err
		case id == "" || m.id == id:
			return m, nil
		}
	}
	return nil, last
}

// updatesDirs reports whether the member performs updates of directories.
func (m *member) updatesDirs() bool { return !strings.HasPrefix(m.version, "3.5.") }

// read sends a request and decodes the body of the answer, which must have the status 200.
func (m *member) read(ctx context.Context, g get, answer any) (http.Header, error) {
	response, body, err := m.client.Do(ctx, g) //nolint:bodyclose // Do reads and closes the body
	if err != nil {
		return nil, cluster.OneLine(err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s with the status %d", g.path, response.StatusCode)
	}
	if json.Unmarshal(body, answer) != nil { // whose error could contain values
		return nil, fmt.Errorf("its answer to %s is not valid JSON", g.path)
	}
	return response.Header, nil
}

// change is a request that changes etcd's own users. The library has no function for revoking.
type change struct {
	method, path string
	body         any
	password     string // of root; "" for nobody
}

// HTTPRequest implements the action of the library.
func (c change) HTTPRequest(endpoint url.URL) *http.Request {
	endpoint.Path = c.path
	r := &http.Request{Method: c.method, URL: &endpoint, Host: endpoint.Host, Header: make(http.Header)}
	if c.body != nil {
		body, err := json.Marshal(c.body)
		if err != nil {
			panic("BUG: a change of etcd's users cannot be encoded: " + err.Error())
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Type", "application/json")
	}
	if c.password != "" {
		r.SetBasicAuth("root", c.password)
	}
	return r
}

// change sends a request, which must succeed, or have a status that is accepted.
func (m *member) change(ctx context.Context, c change, accepted ...int) error {
	response, _, err := m.client.Do(ctx, c) //nolint:bodyclose // Do reads and closes the body
	if err != nil {
		return cluster.OneLine(err)
	}
	if response.StatusCode >= 300 && !slices.Contains(accepted, response.StatusCode) {
		return fmt.Errorf("etcd answers %s %s with the status %d", c.method, c.path, response.StatusCode)
	}
	return nil
}

// node is a node in an answer.
type node struct {
	Key           string
	Value         string
	Dir           bool
	CreatedIndex  uint64
	ModifiedIndex uint64
	Expiration    *time.Time
	Nodes         []*node

	previous *node // what a write has replaced
}

// keys reads keys with a quorum, and returns the index of the store at that moment.
func (m *member) keys(ctx context.Context, query string) (*node, uint64, error) {
	var answer struct{ Node *node }
	head, err := m.read(ctx, get{"/v2/keys/", "quorum=true" + query}, &answer)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the keys of the member: %w (hint: without a quorum, or while the member is cut off from the others, there is no answer; if etcd's authentication is on, --user must be allowed to read everything)", err)
	}
	index, err := strconv.ParseUint(head.Get("X-Etcd-Index"), 10, 64)
	if err != nil || answer.Node == nil {
		return nil, 0, errors.New("reading the keys of the member: the answer lacks the node or the index")
	}
	switch of := head.Get("X-Etcd-Cluster-Id"); {
	case of == m.cluster.String():
	case !m.files:
		return nil, 0, fmt.Errorf("the member belongs to the cluster %s, but the v3 store of the configuration to %s (hint: --endpoints must name members of the cluster in upstream.endpoints)", of, m.cluster)
	default:
		return nil, 0, fmt.Errorf("the member belongs to the cluster %s, but the keys to %s (hint: the data folder is perhaps that of an earlier cluster; give that of the running etcd with --data-dir)", of, m.cluster)
	}
	return answer.Node, index, nil
}

// index returns the index of the store. It makes an entry in the log.
func (m *member) index(ctx context.Context) (uint64, error) {
	_, index, err := m.keys(ctx, "")
	return index, err
}

// readAll reads all keys that etcd lists.
func (m *member) readAll(ctx context.Context) ([]v2store.Record, uint64, error) {
	root, index, err := m.keys(ctx, "&recursive=true")
	if err != nil {
		return nil, 0, err
	}
	var all []v2store.Record
	for _, n := range root.Nodes {
		all = n.flat(all)
	}
	return all, index, nil
}

// flat appends a node, and all nodes below it.
func (n *node) flat(to []v2store.Record) []v2store.Record {
	r := v2store.Record{Key: n.Key, Dir: n.Dir, Value: n.Value, Created: n.CreatedIndex, Modified: n.ModifiedIndex}
	if n.Expiration != nil {
		r.Expires = n.Expiration.UnixNano()
	}
	to = append(to, r)
	for _, child := range n.Nodes {
		to = child.flat(to)
	}
	return to
}

// unlockable returns an error if etcd's own users are enabled, and the password is not that of root; "" is that of the connection.
func (m *member) unlockable(ctx context.Context, password string) error {
	enabled, err := m.enabled(ctx)
	if err != nil || !enabled {
		return err
	}
	if _, err = m.exists(ctx, rootPath, password, nil); err != nil {
		err = disabling(err)
	}
	return err
}

// disabling is the error that etcd's own users cannot be disabled.
func disabling(err error) error {
	return fmt.Errorf("disabling etcd's own users of the v2 API: %w (hint: if they are not those of a switch, give root with --user and --password-file)", err)
}
