package recovery

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/etcdtool"
)

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
