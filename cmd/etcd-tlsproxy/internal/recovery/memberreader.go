package recovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/etcdtool"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
)

// memberReader reads from the running member that is copied.
type memberReader struct {
	client     client.Client
	connection *cluster.Connection
}

func newMemberReader(c *cluster.Connection) (*memberReader, error) {
	if len(c.Endpoints) != 1 {
		return nil, fmt.Errorf("--endpoints names %d members, but must name the one whose data folder is copied", len(c.Endpoints))
	}
	etcd, err := c.Client()
	return &memberReader{etcd, c}, err
}

// request is a request that etcd's client library has no function for. With a body, which
// is JSON, it is a POST.
type request struct{ path, body string }

func (q request) HTTPRequest(base url.URL) *http.Request {
	base.Path = q.path
	method := http.MethodGet
	if q.body != "" {
		method = http.MethodPost
	}
	r, err := http.NewRequest(method, base.String(), strings.NewReader(q.body))
	if err != nil {
		panic("BUG: the endpoint was a URL: " + err.Error())
	}
	if q.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// readJSON sends a request and decodes the body of the response. Another status than 200 is
// an error, and status is 0 if there is no response.
func readJSON(ctx context.Context, c client.Client, q request, answer any) (status int, err error) {
	response, body, err := c.Do(ctx, q) //nolint:bodyclose // Do reads and closes the body
	if err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusOK {
		return response.StatusCode, fmt.Errorf("it answers %s with status %d", q.path, response.StatusCode)
	}
	return response.StatusCode, json.Unmarshal(body, answer)
}

func (m *memberReader) getJSON(ctx context.Context, path string, answer any) error {
	ctx, cancel := m.connection.Context(ctx)
	defer cancel()
	_, err := readJSON(ctx, m.client, request{path: path}, answer)
	return err
}

// countAll is the body of a request for the number of all keys, from the zero byte on.
const countAll = `{"key":"AA==","range_end":"AA==","count_only":true}`

// v3Keys returns the number of keys in the member's v3 store.
func (m *memberReader) v3Keys(ctx context.Context) (uint64, error) {
	ctx, cancel := m.connection.Context(ctx)
	defer cancel()
	return countV3(ctx, m.client)
}

// countV3 returns the number of keys in the v3 store of an etcd. It uses the gateway that
// translates JSON for etcd's gRPC API. Older versions of etcd have it at older paths.
func countV3(ctx context.Context, c client.Client) (uint64, error) {
	for _, path := range []string{"/v3/kv/range", "/v3beta/kv/range", "/v3alpha/kv/range"} {
		var answer struct {
			Count uint64 `json:"count,string"`
		}
		status, err := readJSON(ctx, c, request{path, countAll}, &answer)
		if status != http.StatusNotFound {
			return answer.Count, err
		}
	}
	return 0, errors.New("it has no gateway for JSON")
}

// identify checks that the member is the one whose data folder is copied: a quorum read
// from another member would not complete this one's log.
func (m *memberReader) identify(ctx context.Context, folder memberhost.Identity) (Source, error) {
	var self struct{ ID, Name string }
	if err := m.getJSON(ctx, "/v2/stats/self", &self); err != nil {
		return Source{}, fmt.Errorf("connecting to the member at %s: %w (hint: --endpoints must be the member's own client URL; --offline copies the folder of a stopped member)", m.connection.Endpoints[0], cluster.OneLine(err))
	}
	if id, err := strconv.ParseUint(self.ID, 16, 64); err != nil || memberhost.ID(id) != folder.Member {
		return Source{}, fmt.Errorf("the member at %s is %s, but the data folder belongs to %s (hint: --endpoints must be the client URL of the member on this machine, not that of another member)", m.connection.Endpoints[0], self.ID, folder.Member)
	}
	var version struct {
		Etcdserver string `json:"etcdserver"`
	}
	if err := m.getJSON(ctx, "/version", &version); err != nil {
		return Source{}, fmt.Errorf("reading etcd's version: %w", err)
	}
	return Source{folder, self.Name, version.Etcdserver}, nil
}

// readKeys reads the member's keys.
func (m *memberReader) readKeys(ctx context.Context, quorum bool) (*tree, error) {
	ctx, cancel := m.connection.Context(ctx)
	defer cancel()
	t, err := readTree(ctx, client.NewKeysAPI(m.client), quorum)
	if refused, ok := errors.AsType[client.Error](err); ok && refused.Code == client.ErrorCodeUnauthorized {
		return nil, fmt.Errorf("reading the keys: %w (hint: a rule restricts reads: give a user who may read all keys with --user and --password-file)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the member's keys: %w (hint: if there is no quorum, or the member is stopped, --offline copies its folder)", err)
	}
	return t, nil
}

// sandbox is an etcd with the v2 API on a copy of a member's data.
type sandbox struct {
	*etcdtool.Sandbox
	client  client.Client
	keys    client.KeysAPI
	members client.MembersAPI
}

// startSandbox starts an etcd. The caller must close the sandbox.
func startSandbox(ctx context.Context, etcd, dataDir string, flags ...string) (*sandbox, error) {
	started, err := etcdtool.Start(ctx, etcd, dataDir, append([]string{"--enable-v2=true"}, flags...)...)
	if err != nil {
		return nil, err
	}
	s := &sandbox{Sandbox: started}
	if s.client, err = client.New(client.Config{Endpoints: []string{"http://sandbox"}, Transport: s.Transport()}); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.keys, s.members = client.NewKeysAPI(s.client), client.NewMembersAPI(s.client)
	return s, nil
}

// readKeys waits until the etcd is ready and reads its keys.
func (s *sandbox) readKeys(ctx context.Context) (*tree, error) {
	var all *tree
	err := s.WaitUntil(ctx, func(ctx context.Context) (err error) {
		all, err = readTree(ctx, s.keys, true)
		return err
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, etcdtool.Timeout)
	defer cancel()
	count, err := countV3(ctx, s.client)
	all.hasV3 = err != nil || count > 0
	return all, nil
}

// raftIndex makes a proposal and returns its index: all earlier entries are applied.
func (s *sandbox) raftIndex(ctx context.Context) (uint64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://sandbox/v2/keys/?quorum=true", nil)
	if err != nil {
		return 0, err
	}
	response, err := (&http.Client{Transport: s.Transport()}).Do(request)
	if err != nil {
		return 0, err
	}
	_ = response.Body.Close()
	return strconv.ParseUint(response.Header.Get("X-Raft-Index"), 10, 64)
}

// verifyCopy starts an etcd on a copy of a backup, which itself must not change, and
// returns its keys.
func verifyCopy(ctx context.Context, etcd, backup, scratch string) (_ *tree, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	if err := os.CopyFS(filepath.Join(scratch, "member"), os.DirFS(filepath.Join(backup, "member"))); err != nil {
		return nil, err
	}
	s, err := startSandbox(ctx, etcd, scratch, "--force-new-cluster")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.readKeys(ctx)
}
