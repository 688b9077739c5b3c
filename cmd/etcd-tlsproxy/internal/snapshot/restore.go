package snapshot

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/etcdtool"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Restore says how to make the data folder of a member from a snapshot.
type Restore struct {
	// Snapshot is the file, and Prefix precedes all keys of the tree in it.
	Snapshot, Prefix string
	// Into is the data folder, which must not exist.
	Into string
	// Name and PeerURL are those of the member, which is alone in a new cluster. The id of the cluster
	// depends on the token.
	Name, PeerURL, Token string
	// Raise is how far the indexes of the tree continue above those of the snapshot. With 0 the tree
	// stays as it is.
	Raise uint64
	// Tool is etcdutl, or etcdctl before etcd 3.6. Etcd is etcd itself.
	Tool, Etcd string
	// User and Password are those of a user of etcd who may do everything, if its authentication is
	// enabled in the snapshot.
	User, Password string
}

// Restored is a data folder that was made.
type Restored struct {
	memberhost.Identity
	// Tree is the tree in it.
	Tree *Tree
	// Bumped is true if the revisions of the store were raised, too.
	Bumped bool
}

// Run makes the folder. It starts an etcd on it that has no network, and compares the tree with the one in the
// snapshot.
func (r *Restore) Run(ctx context.Context) (*Restored, error) {
	want, auth, err := Read(r.Snapshot, r.Prefix, func(int64) {})
	if err != nil {
		return nil, err
	}
	if auth && r.User == "" {
		return nil, errors.New("etcd's authentication is enabled in the snapshot (hint: name a user of etcd with the role root with --user and --password-file)")
	}
	bumped, err := r.runTool(ctx)
	if err != nil {
		return nil, err
	}
	etcd, err := etcdtool.Start(ctx, r.Etcd, r.Into, "--name="+r.Name, unlimited)
	if err != nil {
		return nil, err
	}
	tree, err := r.visit(ctx, etcd, want, bumped)
	if err == nil {
		stop, cancel := context.WithTimeout(ctx, etcdtool.Timeout)
		err = etcd.Stop(stop)
		cancel()
	}
	if err = errors.Join(err, etcd.Close()); err != nil {
		return nil, err
	}
	identity, err := memberhost.Identify(r.Into, "")
	return &Restored{identity, tree, bumped}, err
}

// runTool makes the folder with etcd's tool.
func (r *Restore) runTool(ctx context.Context) (bumped bool, err error) {
	help, err := tool(ctx, r.Tool, "snapshot", "restore", "--help")
	if err != nil {
		return false, err
	}
	args := []string{"snapshot", "restore", r.Snapshot, "--data-dir", r.Into, "--name", r.Name, "--initial-cluster", r.Name + "=" + r.PeerURL,
		"--initial-advertise-peer-urls", r.PeerURL, "--initial-cluster-token", r.Token}
	// Only newer tools can raise revisions. With older ones the offset of the tree is raised instead.
	if bumped = r.Raise > 0 && bytes.Contains(help, []byte("--bump-revision")); bumped {
		args = append(args, "--bump-revision", strconv.FormatUint(r.Raise, 10), "--mark-compacted")
	}
	_, err = tool(ctx, r.Tool, args...)
	return bumped, err
}

func tool(ctx context.Context, path string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(etcdtool.Environment(), "ETCDCTL_API=3")
	output, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("restoring with %s: %w: %s", filepath.Base(path), err, etcdtool.LastLines(string(output)))
	}
	return output, nil
}

// visit compares the tree, and raises its index.
func (r *Restore) visit(ctx context.Context, etcd *etcdtool.Sandbox, want *Tree, bumped bool) (*Tree, error) {
	client, err := rpc.New([]rpc.Endpoint{{Addr: "unix:" + etcd.Socket()}}, r.User, r.Password)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	keys := layout.Keys(r.Prefix)
	err = etcd.WaitUntil(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, _, _, err := readState(ctx, client, keys)
		return err
	})
	if err != nil {
		return nil, err
	}
	got, err := readStore(ctx, client, keys)
	if err != nil {
		return nil, err
	}
	if got.Digest != want.Digest || got.Index != want.Index {
		return nil, fmt.Errorf("the restored tree differs from the one in the snapshot: it has %d keys, the index %d and the digest %s, and the snapshot has %d, %d and %s",
			got.Files, got.Index, got.Digest, want.Files, want.Index, want.Digest)
	}
	if r.Raise == 0 {
		return got, nil
	}
	if err := makeSpace(ctx, client); err != nil {
		return nil, err
	}
	if err := r.mark(ctx, client, got, bumped); err != nil {
		return nil, fmt.Errorf("raising the index of the restored tree: %w", err)
	}
	if got, err = readStore(ctx, client, keys); err != nil {
		return nil, err
	}
	if got.Index <= want.Index+r.Raise || got.Digest != want.Digest {
		return nil, fmt.Errorf("the restored tree has the index %d, want one above %d, and the nodes of the snapshot", got.Index, want.Index+r.Raise)
	}
	return got, nil
}

// mark puts the log without an event, and another generation, so that proxies that knew the tree read it
// again. Without raised revisions it raises the offset of the indexes.
func (r *Restore) mark(ctx context.Context, client *rpc.Client, tree *Tree, bumped bool) error {
	meta := *tree.meta
	meta.Generation = rand.Text()
	if !bumped {
		meta.Offset += int64(r.Raise)
	}
	t := layout.Txn{Keys: layout.Keys(r.Prefix)}
	t.Modified(t.Keys.Meta(), tree.metaAt)
	t.Modified(t.Keys.Log(), tree.loggedAt)
	t.Put(t.Keys.Log(), (&layout.Entry{Action: layout.Mark, Time: time.Now().UnixNano()}).Encode())
	t.Put(t.Keys.Meta(), meta.Encode())
	answer, err := client.Txn(ctx, &pb.TxnRequest{Compare: t.Compare, Success: t.Success})
	switch {
	case err != nil:
		return errors.New(rpc.Reason(err))
	case !answer.Succeeded:
		return errors.New("somebody else changes the restored store")
	}
	return nil
}

// Verify restores a snapshot into a folder that it removes again, and compares the tree with the one in the
// snapshot.
func Verify(ctx context.Context, r Restore, scratch string) (t *Tree, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	r.Into, r.Name, r.PeerURL, r.Token, r.Raise = filepath.Join(scratch, "data"), "sandbox", "http://localhost:2380", "sandbox", 0
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil, err
	}
	restored, err := r.Run(ctx)
	if err != nil {
		return nil, err
	}
	return restored.Tree, nil
}
