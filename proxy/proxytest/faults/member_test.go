package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// member is an etcd on a machine.
type member struct {
	*proxytest.Child
	*machine
	// program is the path of its etcd, or "" for the one that is linked in.
	program, dir string
	client       *rpc.Client
}

func (m *member) name() string    { return fmt.Sprint("conf100", 1+m.number) }
func (m *member) peerURL() string { return "http://" + m.addresses[peers] }
func (m *member) data() string    { return filepath.Join(m.dir, m.name()) }

// callTimeout bounds a call of the test to a member.
const callTimeout = 3 * time.Second

func call() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), callTimeout)
}

// launch starts the etcd in a cluster that is new or existing, with further options.
func (m *member) launch(all []*member, state string, options ...string) error {
	var initial []string
	for _, other := range all {
		initial = append(initial, other.name()+"="+other.peerURL())
	}
	url := "http://" + m.addresses[stores]
	args := []string{m.program, "--name=" + m.name(), "--data-dir=" + m.data(), "--log-level=warn",
		"--listen-client-urls=" + url, "--advertise-client-urls=" + url, "--listen-peer-urls=" + m.peerURL(), "--initial-advertise-peer-urls=" + m.peerURL(),
		"--initial-cluster=" + strings.Join(initial, ","), "--initial-cluster-state=" + state, "--strict-reconfig-check=false",
		// Processes are killed, machines are not.
		"--unsafe-no-fsync"}
	args = append(args, options...)
	if m.program == "" {
		var err error
		if args, err = linkedIn(args[1:]); err != nil {
			return err
		}
	}
	return m.run(func() (err error) {
		m.Child, err = proxytest.StartChild(m.data()+".log", args[0], args[1:]...)
		return err
	})
}

// kill kills the process, and waits for its end.
func (m *member) kill() {
	if m.Child != nil {
		m.Signal(syscall.SIGKILL)
		<-m.Exited()
	}
}

// stop ends the process as a service manager does: a leader leaves its place to another member.
func (m *member) stop() {
	m.Signal(syscall.SIGTERM)
	<-m.Exited()
}

// status returns what the member says about itself.
func (m *member) status() (*pb.StatusResponse, error) {
	ctx, cancel := call()
	defer cancel()
	return m.client.Maintenance().Status(ctx, &pb.StatusRequest{})
}

// serves reports whether the member answers a linearizable read.
func (m *member) serves() bool {
	ctx, cancel := call()
	defer cancel()
	_, err := m.client.Range(ctx, &pb.RangeRequest{Key: []byte("x")})
	return err == nil
}

// leader returns the member that leads, as most members see it.
func (c *cluster) leader() (*member, error) {
	votes, ids := map[uint64]int{}, map[uint64]*member{}
	for _, m := range c.members {
		if status, err := m.status(); err == nil {
			votes[status.Leader]++
			ids[status.Header.MemberId] = m
		}
	}
	for id, n := range votes {
		if m := ids[id]; m != nil && n > len(c.members)/2 {
			return m, nil
		}
	}
	return nil, errors.New("no member is known to lead")
}

// moveLeader makes another member the leader.
func (c *cluster) moveLeader() error {
	from, err := c.leader()
	if err != nil {
		return err
	}
	to, err := c.members[(from.number+1)%len(c.members)].status()
	if err != nil {
		return err
	}
	ctx, cancel := call()
	defer cancel()
	_, err = from.client.Maintenance().MoveLeader(ctx, &pb.MoveLeaderRequest{TargetID: to.Header.MemberId})
	return err
}

// replace removes a member, and adds another one with its addresses and without its data.
func (c *cluster) replace(m *member) error {
	var status *pb.StatusResponse
	c.wait("the member says which one it is", func() (known bool) {
		var err error
		status, err = m.status()
		return err == nil
	})
	other := c.members[(m.number+1)%len(c.members)]
	c.wait("the member is removed", func() bool {
		ctx, cancel := call()
		defer cancel()
		_, err := other.client.Cluster().MemberRemove(ctx, &pb.MemberRemoveRequest{ID: status.Header.MemberId})
		return err == nil || strings.Contains(err.Error(), "member not found")
	})
	m.kill()
	if err := os.RemoveAll(m.data()); err != nil {
		return err
	}
	c.wait("the new member is added", func() bool {
		ctx, cancel := call()
		defer cancel()
		_, err := other.client.Cluster().MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{m.peerURL()}})
		return err == nil || strings.Contains(err.Error(), "already exists")
	})
	return m.launch(c.members, "existing")
}

// compact makes etcd forget all revisions but the last one.
func (c *cluster) compact() error {
	ctx, cancel := call()
	defer cancel()
	var errs error
	for _, m := range c.members {
		answer, err := m.client.Range(ctx, &pb.RangeRequest{Key: []byte("x")})
		if err == nil {
			_, err = m.client.Compact(ctx, &pb.CompactionRequest{Revision: answer.Header.Revision})
		}
		if err == nil || strings.Contains(err.Error(), "compacted") {
			return nil
		}
		errs = errors.Join(errs, err)
	}
	return errs
}
