package recovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/isolation"
)

const (
	// sandboxTimeout bounds the start of an etcd on a copy, which reads the whole log.
	sandboxTimeout = 2 * time.Minute
	// sandboxPollEvery is the polling interval: etcd does not signal that it is ready.
	sandboxPollEvery = 20 * time.Millisecond
)

// sandbox is an etcd on a copy of a member's data, without any network. A copy with the
// member's ids would otherwise connect to the other members, which would mistake it for
// the original, and it could acknowledge entries that the original does not have. It is
// reached by a Unix socket in a private folder, because its keys have no protection.
type sandbox struct {
	cmd     *exec.Cmd
	exited  chan struct{}
	folder  string // for the sockets and the log
	http    *http.Client
	client  client.Client
	keys    client.KeysAPI
	members client.MembersAPI
	dataDir string
}

// startSandbox starts an etcd. The caller must close the sandbox.
func startSandbox(ctx context.Context, etcd, dataDir string, flags ...string) (*sandbox, error) {
	dataDir, err := filepath.Abs(dataDir)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "etcd-tlsproxy-")
	if err != nil {
		return nil, err
	}
	s := &sandbox{folder: folder, dataDir: dataDir, exited: make(chan struct{})}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(folder, "client:0"))
	}}
	s.http = &http.Client{Transport: transport}
	c, err := client.New(client.Config{Endpoints: []string{"http://sandbox"}, Transport: transport})
	if err == nil {
		s.client, s.keys, s.members = c, client.NewKeysAPI(c), client.NewMembersAPI(c)
		flags = append([]string{"--name=sandbox", "--data-dir=" + dataDir, "--enable-v2=true",
			"--listen-client-urls=unix://client:0", "--advertise-client-urls=http://localhost:1", "--listen-peer-urls=unix://peer:0",
			"--heartbeat-interval=10", "--election-timeout=100"}, flags...)
		err = s.start(ctx, etcd, flags)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting etcd on the copy: %w", err), os.RemoveAll(folder))
	}
	return s, nil
}

// start starts the process in a network namespace of its own.
func (s *sandbox) start(ctx context.Context, etcd string, flags []string) error {
	log, err := os.Create(filepath.Join(s.folder, "log"))
	if err != nil {
		return err
	}
	defer log.Close() // etcd has its own descriptor
	for _, isolated := range isolation.Attrs() {
		s.cmd = exec.CommandContext(ctx, etcd, flags...)
		s.cmd.Dir, s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = s.folder, withoutEtcd(os.Environ()), log, log
		s.cmd.SysProcAttr = isolated
		if err = s.cmd.Start(); err == nil {
			go func() {
				_ = s.cmd.Wait()
				close(s.exited)
			}()
			return nil
		}
		if !errors.Is(err, syscall.EPERM) {
			return err
		}
	}
	if err == nil {
		err = errors.ErrUnsupported // this system is not Linux
	}
	return fmt.Errorf("%w (%w)", errNotIsolated, err)
}

var errNotIsolated = errors.New("it must run without a network, but this process may not create namespaces (hint: run the command on Linux, as root, or allow unprivileged user namespaces)")

// waitUntil calls check until it returns no error.
func (s *sandbox) waitUntil(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, sandboxTimeout)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			err = errors.New("it has exited")
		case <-ctx.Done():
		case <-time.After(sandboxPollEvery):
			continue
		}
		output, _ := os.ReadFile(filepath.Join(s.folder, "log"))
		return fmt.Errorf("running etcd on the copy: %w: %s", err, lastLines(string(output)))
	}
}

// readKeys waits until the etcd is ready and reads its keys.
func (s *sandbox) readKeys(ctx context.Context) (*tree, error) {
	var all *tree
	err := s.waitUntil(ctx, func(ctx context.Context) (err error) {
		all, err = readTree(ctx, s.keys, true)
		return err
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, sandboxTimeout)
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
	response, err := s.http.Do(request)
	if err != nil {
		return 0, err
	}
	_ = response.Body.Close()
	return strconv.ParseUint(response.Header.Get("X-Raft-Index"), 10, 64)
}

// stop stops the etcd cleanly, so that all its data is on disk.
func (s *sandbox) stop(ctx context.Context) error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.exited:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close kills the etcd if it still runs, and removes the folder of sockets and log.
func (s *sandbox) close() error {
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.http.CloseIdleConnections()
	return os.RemoveAll(s.folder)
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
	defer func() { err = errors.Join(err, s.close()) }()
	return s.readKeys(ctx)
}
