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
)

const (
	// trialTime is how long an etcd on a copy may take to start: it reads the whole log.
	trialTime = 2 * time.Minute
	// trialEvery is how often it is asked: etcd has no signal for us that it serves.
	trialEvery = 20 * time.Millisecond
)

// trial is an etcd on a copy of a member's data. It has no network at all. A copy
// that has the member's ids would else connect to the other members, and they would
// take it for the one it is a copy of: it could acknowledge what that one does not
// have. We reach it by a socket in a folder that is ours alone, since it has the
// member's keys and nothing that guards them.
type trial struct {
	cmd     *exec.Cmd
	exited  chan struct{}
	folder  string // of the sockets and the log
	http    *http.Client
	keys    client.KeysAPI
	members client.MembersAPI
	dataDir string
}

// startTrial starts it. It must be closed.
func startTrial(ctx context.Context, etcd, dataDir string, flags ...string) (*trial, error) {
	dataDir, err := filepath.Abs(dataDir)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "etcd-tlsproxy-")
	if err != nil {
		return nil, err
	}
	t := &trial{folder: folder, dataDir: dataDir, exited: make(chan struct{})}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(folder, "client:0"))
	}}
	t.http = &http.Client{Transport: transport}
	c, err := client.New(client.Config{Endpoints: []string{"http://trial"}, Transport: transport})
	if err == nil {
		t.keys, t.members = client.NewKeysAPI(c), client.NewMembersAPI(c)
		flags = append([]string{"--name=trial", "--data-dir=" + dataDir, "--enable-v2=true",
			"--listen-client-urls=unix://client:0", "--advertise-client-urls=http://localhost:1", "--listen-peer-urls=unix://peer:0",
			"--heartbeat-interval=10", "--election-timeout=100"}, flags...)
		err = t.start(ctx, etcd, flags)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting etcd on the copy: %w", err), os.RemoveAll(folder))
	}
	return t, nil
}

// start starts it without a network.
func (t *trial) start(ctx context.Context, etcd string, flags []string) error {
	log, err := os.Create(filepath.Join(t.folder, "log"))
	if err != nil {
		return err
	}
	defer log.Close() // etcd has its own
	for _, isolated := range isolations() {
		t.cmd = exec.CommandContext(ctx, etcd, flags...)
		t.cmd.Dir, t.cmd.Env, t.cmd.Stdout, t.cmd.Stderr = t.folder, withoutEtcd(os.Environ()), log, log
		t.cmd.SysProcAttr = isolated
		if err = t.cmd.Start(); err == nil {
			go func() {
				_ = t.cmd.Wait()
				close(t.exited)
			}()
			return nil
		}
		if !errors.Is(err, syscall.EPERM) {
			return err
		}
	}
	return fmt.Errorf("%w (%w)", errNotIsolated, err)
}

// isolations are the ways to start a process without a network: root's, and that of
// others where the system lets them make namespaces.
func isolations() []*syscall.SysProcAttr {
	uid := []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
	gid := []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	return []*syscall.SysProcAttr{
		{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL},
		{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWUSER, UidMappings: uid, GidMappings: gid, Pdeathsig: syscall.SIGKILL},
	}
}

var errNotIsolated = errors.New("it must have no network, and this process may not make it so (hint: run it as root, or where users may make namespaces)")

// await asks until there is no error.
func (t *trial) await(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-t.exited:
			err = errors.New("it has ended")
		case <-ctx.Done():
		case <-time.After(trialEvery):
			continue
		}
		said, _ := os.ReadFile(filepath.Join(t.folder, "log"))
		return fmt.Errorf("running etcd on the copy: %w: %s", err, lastLines(string(said)))
	}
}

// read reads its keys once it serves.
func (t *trial) read(ctx context.Context) (*tree, error) {
	var all *tree
	return all, t.await(ctx, func(ctx context.Context) (err error) {
		all, err = readTree(ctx, t.keys, true)
		return err
	})
}

// raftIndex is that of a proposal that it just took: all before it is applied.
func (t *trial) raftIndex(ctx context.Context) (uint64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://trial/v2/keys/?quorum=true", nil)
	if err != nil {
		return 0, err
	}
	response, err := t.http.Do(request)
	if err != nil {
		return 0, err
	}
	_ = response.Body.Close()
	return strconv.ParseUint(response.Header.Get("X-Raft-Index"), 10, 64)
}

// end ends it so that everything it did is on the disk.
func (t *trial) end(ctx context.Context) error {
	if err := t.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-t.exited:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close ends it at once, if it runs, and removes what is not its data.
func (t *trial) close() error {
	_ = t.cmd.Process.Kill()
	<-t.exited
	t.http.CloseIdleConnections()
	return os.RemoveAll(t.folder)
}

// try starts an etcd on a copy of a backup, which must stay what it is, and reads
// its keys.
func try(ctx context.Context, etcd, backup, scratch string) (_ *tree, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	if err := os.CopyFS(filepath.Join(scratch, "member"), os.DirFS(filepath.Join(backup, "member"))); err != nil {
		return nil, err
	}
	t, err := startTrial(ctx, etcd, scratch, "--force-new-cluster")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	return t.read(ctx)
}
