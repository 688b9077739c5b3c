package etcdtool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/isolation"
)

const (
	// Timeout bounds the start of an etcd on a copy, which reads the whole log.
	Timeout = 2 * time.Minute
	// pollEvery is the polling interval: etcd does not signal that it is ready.
	pollEvery = 20 * time.Millisecond
)

// Sandbox is an etcd on a copy of a member's data, without any network. A copy with the
// member's ids would otherwise connect to the other members, which would mistake it for
// the original, and it could acknowledge entries that the original does not have. It is
// reached by a Unix socket in a private folder, because its keys have no protection.
type Sandbox struct {
	cmd       *exec.Cmd
	exited    chan struct{}
	folder    string // for the sockets and the log
	transport *http.Transport
}

// Start starts an etcd on a data folder. The caller must close the sandbox.
func Start(ctx context.Context, etcd, dataDir string, flags ...string) (*Sandbox, error) {
	dataDir, err := filepath.Abs(dataDir)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "etcd-tlsproxy-")
	if err != nil {
		return nil, err
	}
	s := &Sandbox{folder: folder, exited: make(chan struct{})}
	s.transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.Socket())
	}}
	flags = append([]string{"--name=sandbox", "--data-dir=" + dataDir,
		"--listen-client-urls=unix://client:0", "--advertise-client-urls=http://localhost:1", "--listen-peer-urls=unix://peer:0",
		"--heartbeat-interval=10", "--election-timeout=100"}, flags...)
	if err := s.start(ctx, etcd, flags); err != nil {
		return nil, errors.Join(fmt.Errorf("starting etcd on the copy: %w", err), os.RemoveAll(folder))
	}
	return s, nil
}

// Socket returns the path of the socket for clients.
func (s *Sandbox) Socket() string { return filepath.Join(s.folder, "client:0") }

// Transport returns a transport whose requests reach the etcd, whatever host they name.
func (s *Sandbox) Transport() *http.Transport { return s.transport }

// start starts the process in a network namespace of its own.
func (s *Sandbox) start(ctx context.Context, etcd string, flags []string) error {
	log, err := os.Create(filepath.Join(s.folder, "log"))
	if err != nil {
		return err
	}
	defer log.Close() // etcd has its own descriptor
	for _, isolated := range isolation.Attrs() {
		s.cmd = exec.CommandContext(ctx, etcd, flags...)
		s.cmd.Dir, s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = s.folder, Environment(), log, log
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
	return fmt.Errorf("%w (%w)", ErrNotIsolated, err)
}

// ErrNotIsolated means that this process may not start one without a network.
var ErrNotIsolated = errors.New("it must run without a network, but this process may not create namespaces (hint: run the command on Linux, as root, or allow unprivileged user namespaces)")

// WaitUntil calls check until it returns no error.
func (s *Sandbox) WaitUntil(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
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
		case <-time.After(pollEvery):
			continue
		}
		output, _ := os.ReadFile(filepath.Join(s.folder, "log"))
		return fmt.Errorf("running etcd on the copy: %w: %s", err, LastLines(string(output)))
	}
}

// Stop stops the etcd cleanly, so that all its data is on disk.
func (s *Sandbox) Stop(ctx context.Context) error {
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

// Close kills the etcd if it still runs, and removes the folder of sockets and log.
func (s *Sandbox) Close() error {
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.transport.CloseIdleConnections()
	return os.RemoveAll(s.folder)
}
