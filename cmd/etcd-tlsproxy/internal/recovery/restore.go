package recovery

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/etcdtool"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/snapshot"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// A cluster with a v3 store is recovered from a snapshot. The first member gets a data folder that
// was made from it, and is alone in a new cluster with its right peer URL. The others are added, empty.

// MemberRestore makes the data folder of a member from a backup of a v3 store.
type MemberRestore struct {
	// Backup is the folder of the backup.
	Backup string
	snapshot.Restore
}

// Run makes the folder. read is called with the number of bytes that were read.
func (m *MemberRestore) Run(ctx context.Context, read func(int64)) (*snapshot.Restored, error) {
	if _, err := os.Lstat(m.Into); !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, fmt.Errorf("%s exists already (hint: the folder is created; move old data aside)", m.Into))
	}
	made, err := Check(m.Backup, read)
	if err != nil {
		return nil, err
	}
	if made.Tree == nil {
		return nil, fmt.Errorf("%s is a backup of a v2 store (hint: recover --backup restores it)", m.Backup)
	}
	if m.Tool, err = etcdtool.FindTool(m.Tool); err != nil {
		return nil, err
	}
	if m.Etcd, err = etcdtool.FindEtcd(m.Etcd); err != nil {
		return nil, err
	}
	m.Snapshot, m.Prefix = filepath.Join(m.Backup, snapshotFile), made.Tree.Prefix
	return m.Restore.Run(ctx)
}

const (
	// maxRate is more than an etcd can write each second, on the fastest disk.
	maxRate = 20_000
	// minRaise is what etcd's documentation advises to add to revisions.
	minRaise = 1_000_000_000
)

// raise returns how far the indexes continue above those of the backup: further than any cluster can have
// come since then, also one that was recovered from it meanwhile. The other backups in the folder count, too:
// they may be of a cluster whose indexes were raised.
func (r *Recovery) raise(from *source) uint64 {
	above := func(m *Manifest) uint64 {
		age := max(r.Now().Sub(m.Time), 0)
		return m.Index + minRaise + uint64(age/time.Second+1)*maxRate
	}
	highest := above(from.manifest)
	folder := filepath.Dir(from.path)
	names, _ := backupNames(folder) // if it is not a folder of backups, there are no others
	for _, name := range names {
		if m, err := readManifest(filepath.Join(folder, name)); err == nil && m.Tree != nil && m.Tree.Prefix == from.manifest.Tree.Prefix {
			highest = max(highest, above(m))
		}
	}
	return highest - from.manifest.Index
}

// checkRestorable refuses backups that this machine cannot restore, before anything is stopped.
func (r *Recovery) checkRestorable(m *Manifest) error {
	if m.Tree.Auth {
		return errors.New("etcd's authentication is enabled in the snapshot, and recover has no password of etcd (hint: stop etcd, move the old data aside, and make the folder of the first member with restore-member, which takes --user and --password-file; start that member and its proxy, and add the others with member add, or with etcdctl member add if upstream.user of the proxies has not the role root)")
	}
	if _, err := etcdtool.FindTool(r.Tool); err != nil {
		return err
	}
	_, err := etcdtool.FindEtcd(r.Etcd)
	return err
}

// checkNoTree refuses the data folder of a member whose v3 store has a tree: its snapshot can be restored
// without using indexes again, but the folder itself cannot.
func checkNoTree(folder string) error {
	database := filepath.Join(folder, "member", "snap", "db")
	if running, err := memberhost.InUse(folder); err != nil || running {
		return err // it is locked
	}
	if _, err := os.Stat(database); errors.Is(err, fs.ErrNotExist) {
		return nil // etcd 2 has no v3 store
	}
	found, err := snapshot.HasTree(database)
	if err == nil && found {
		err = fmt.Errorf("the v3 store of %s has a tree of the v2 API (hint: backup --offline --data-dir %[1]s takes a snapshot of it; recover from that)", folder)
	}
	return err
}

// restored is the folder in which the new data of the first member is made, and only root can write. Its
// name is that of this recovery of this data folder.
func (r *Recovery) restored() string {
	at := r.Undo
	if at == "" {
		at = r.Now().UTC().Format(undoLayout)
	}
	folder := sha256.Sum256([]byte(r.dataDir(r.Members[0])))
	return filepath.Join(os.TempDir(), fmt.Sprintf("etcd-tlsproxy-restored-%x-%s", folder[:4], at))
}

// makeMember returns the commands that restore the snapshot. They change nothing of etcd.
func (r *Recovery) makeMember(m Member, from *source) string {
	into := r.restored()
	words := []string{r.Program, "restore-member", "--backup", from.path, "--into", filepath.Join(into, "data"), "--name", m.Name, "--peer-url", m.Peer,
		"--initial-cluster-token", "recovered-" + r.Now().UTC().Format(undoLayout), "--raise-indexes", strconv.FormatUint(r.raise(from), 10), "--etcd", r.Etcd}
	if r.Tool != "" {
		words = append(words, "--etcdctl", r.Tool)
	}
	return fmt.Sprintf("rm -rf %s\nmkdir %[1]s\n%s\n", quote(into), quoteAll(words))
}

// placeMember returns the commands that copy the restored data into the empty place of the old data.
func (r *Recovery) placeMember(m Member) string {
	into := r.restored()
	made := filepath.Join(into, "data", "member")
	text := r.variables(m) + r.createDataDir() + fmt.Sprintf("reader=$(owner_of %s)\n", quote(made)) +
		r.place(filepath.Join(made, "snap"), filepath.Join(made, "wal"))
	return text + "rm -rf " + quote(into) + "\n"
}

// startRestored starts the first member, which is the only one of its cluster.
func (r *Recovery) startRestored(m Member) string {
	return r.start(m, []Member{m}, false) + r.waitHealthy(m) + fmt.Sprintf("%s | tr -d ' ' | grep -qF %s || fail 'this etcd does not have the data of the backup: check its --data-dir and --wal-dir'\n",
		r.call(m, "/v3/cluster/member/list", "{}"), quote(`"name":"`+m.Name+`","peerURLs":["`+m.Peer+`"]`))
}

// call returns a command that calls etcd's v3 API, by its gateway for JSON.
func (r *Recovery) call(m Member, path, body string) string {
	return r.curl("--header", "Content-Type: application/json", "--data", body, m.Client+path)
}

// addToV3 is addMember for etcd's v3 API.
func (r *Recovery) addToV3(first, m Member) string {
	return fmt.Sprintf(`added() { %s | tr -d ' ' | grep -qF %s; }
add() { added || %s >/dev/null || added; }
wait_for %s 120 add
`, r.call(first, "/v3/cluster/member/list", "{}"), quote(`"`+m.Peer+`"`),
		r.call(first, "/v3/cluster/member/add", `{"peerURLs":["`+m.Peer+`"]}`), quote("etcd to accept "+m.Name))
}

// waitStartedV3 is waitStarted for etcd's v3 API.
func (r *Recovery) waitStartedV3(first, m Member) string {
	return fmt.Sprintf(`started() { %s | tr -d ' ' | grep -qF %s && %s >/dev/null; }
wait_for %s 600 started
`, r.call(first, "/v3/cluster/member/list", "{}"), quote(`"name":"`+m.Name+`"`), r.call(first, "/v3/kv/range", `{"key":"AA=="}`), quote(m.Name+" to start"))
}

// planV3 lists the steps from a snapshot. The new data is made before anything is stopped.
func (r *Recovery) planV3(from *source) []Step {
	first := r.Members[0]
	var steps stepList
	add := func(m Member, title, commands string, check func(context.Context) error) {
		steps.add(r, m, title, commands, check)
	}
	for _, m := range r.Members {
		add(m, "check how etcd runs on "+m.Name, r.examine(m), nil)
	}
	add(first, "make the new data of "+first.Name+" from the snapshot", r.makeMember(first, from), nil)
	r.stopAll(add)
	add(first, "copy the new data to "+first.Name, r.placeMember(first), nil)
	add(first, "start "+first.Name+" as a cluster of its own", r.startRestored(first), func(ctx context.Context) error { return r.checkRestored(ctx, first) })
	for i, m := range r.Members[1:] {
		add(first, "add "+m.Name+" to the cluster", r.addToV3(first, m), func(ctx context.Context) error { return r.checkAdded(ctx, m) })
		add(m, "start "+m.Name, r.startNew(m, r.Members[:i+2]), nil)
		add(first, "wait until "+m.Name+" has started", r.waitStartedV3(first, m), func(ctx context.Context) error { return r.waitMember(ctx, m) })
	}
	return steps
}

// checkRestored checks that the cluster has one member.
func (r *Recovery) checkRestored(ctx context.Context, m Member) error {
	return r.waitUntil(ctx, m.Name+" to serve", func() error {
		all, err := r.members(ctx)
		if err == nil && (len(all) != 1 || all[0].Name != m.Name || !slices.Equal(all[0].PeerURLs, []string{m.Peer})) {
			err = fmt.Errorf("the cluster has the members %v, but should have only %s at %s", all, m.Name, m.Peer)
		}
		return err
	})
}

// store returns the v3 store of the recovered cluster.
func (r *Recovery) store() (*snapshot.Store, error) {
	at := parse(r.Members[0].Client)
	e := rpc.Endpoint{Addr: at.Host}
	if at.Scheme == "https" {
		transport, err := r.Connection.Transport()
		if err != nil {
			return nil, err
		}
		e.TLS = transport.TLSClientConfig
		e.TLS.ServerName = at.Hostname()
	}
	return &snapshot.Store{Endpoints: []rpc.Endpoint{e}, Prefix: r.tree.Prefix, Timeout: r.Connection.Timeout}, nil
}

// compareTree is compareKeys for a tree in a v3 store.
func (r *Recovery) compareTree(ctx context.Context, from *source) error {
	s, err := r.store()
	if err != nil {
		return err
	}
	var now *snapshot.Tree
	err = r.waitUntil(ctx, "the keys of the recovered cluster", func() error {
		ctx, cancel := context.WithTimeout(ctx, etcdtool.Timeout)
		defer cancel()
		now, err = s.Tree(ctx)
		return err
	})
	if err != nil {
		return err
	}
	r.reportKeys(&Keys{Count: now.Files, Digest: now.Digest}, from, "the keys, with their indexes, are exactly those of the backup")
	return nil
}
