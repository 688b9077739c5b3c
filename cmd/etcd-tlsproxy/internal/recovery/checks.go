package recovery

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/dustin/go-humanize/english"
	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
)

// connect returns a client of the first member, without a proxy.
func (r *Recovery) connect() (client.Client, error) {
	c := r.Connection
	c.Endpoints = []string{r.Members[0].Client}
	return c.Client()
}

// members lists the members of the cluster.
func (r *Recovery) members(ctx context.Context) ([]client.Member, error) {
	if r.tree != nil {
		return r.membersV3(ctx)
	}
	c, err := r.connect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := r.Connection.Context(ctx)
	defer cancel()
	return client.NewMembersAPI(c).List(ctx)
}

// checkCopy checks that the data folder is a copy of the source.
func (r *Recovery) checkCopy(m Member, from *source) error {
	identity, err := memberhost.Identify(r.dataDir(m), r.walDir(m))
	if err == nil && identity != from.identity {
		err = fmt.Errorf("the data folder belongs to member %s, not to %s", identity.Member, from.identity.Member)
	}
	return err
}

// checkAlone checks that the cluster has one member, the one that was started on the
// backup.
func (r *Recovery) checkAlone(ctx context.Context, m Member, from *source) error {
	return r.waitUntil(ctx, m.Name+" to serve", func() error {
		all, err := r.members(ctx)
		if err == nil && (len(all) != 1 || all[0].ID != from.identity.Member.String() || all[0].Name != m.Name) {
			err = fmt.Errorf("the cluster has the members %v, but should have only %s (%s)", all, m.Name, from.identity.Member)
		}
		return err
	})
}

func (r *Recovery) checkPeerURL(ctx context.Context, m Member) error {
	all, err := r.members(ctx)
	if err == nil && (len(all) != 1 || !slices.Equal(all[0].PeerURLs, []string{m.Peer})) {
		err = fmt.Errorf("the members are %v, but the peer URL should be %s", all, m.Peer)
	}
	return err
}

func (r *Recovery) checkAdded(ctx context.Context, m Member) error {
	all, err := r.members(ctx)
	if err == nil && !slices.ContainsFunc(all, func(other client.Member) bool { return slices.Contains(other.PeerURLs, m.Peer) }) {
		err = fmt.Errorf("the members are %v, but one should have the peer URL %s", all, m.Peer)
	}
	return err
}

// waitMember waits until a member has published its name and a quorum answers a read.
func (r *Recovery) waitMember(ctx context.Context, m Member) error {
	return r.waitUntil(ctx, m.Name+" to start", func() error {
		all, err := r.members(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(other client.Member) bool { return other.Name == m.Name }) {
			return errors.New("it has not published its name yet")
		}
		if r.tree != nil {
			return r.checkQuorum(ctx)
		}
		c, err := r.connect()
		if err != nil {
			return err
		}
		ctx, cancel := r.Connection.Context(ctx)
		defer cancel()
		_, err = client.NewKeysAPI(c).Get(ctx, "/", &client.GetOptions{Quorum: true})
		return err
	})
}

// compareKeys reports whether the keys are those of the backup. A difference is not a
// failure: clients may have written since the first member started.
func (r *Recovery) compareKeys(ctx context.Context, from *source) error {
	if r.tree != nil {
		return r.compareTree(ctx, from)
	}
	c, err := r.connect()
	if err != nil {
		return err
	}
	keys := client.NewKeysAPI(c)
	var t *tree
	// A member that was just added may make the cluster elect a leader meanwhile.
	err = r.waitUntil(ctx, "the keys of the recovered cluster", func() error {
		ctx, cancel := r.Connection.Context(ctx)
		defer cancel()
		t, err = readTree(ctx, keys, true)
		return err
	})
	if err != nil {
		return err
	}
	r.reportKeys(t.keys(), from, "the keys that do not expire are exactly those of the backup")
	return nil
}

// reportKeys compares the keys of the recovered cluster with those of the backup.
func (r *Recovery) reportKeys(now *Keys, from *source, same string) {
	r.note("the cluster has %s", english.Plural(now.Count, "key", ""))
	switch {
	case from.manifest == nil || from.manifest.Keys == nil || from.manifest.Keys.Digest == "":
	case from.manifest.Keys.Digest == now.Digest:
		r.note("%s", same)
	default:
		r.note("NOTE: they differ from those of the backup, which has %s: clients have written since then, or %s was changed", english.Plural(from.manifest.Keys.Count, "key", ""), filepath.Base(from.path))
	}
}

// checkQuorum reads from the recovered cluster with a quorum.
func (r *Recovery) checkQuorum(ctx context.Context) error {
	s, err := r.store()
	if err != nil {
		return err
	}
	ctx, cancel := r.Connection.Context(ctx)
	defer cancel()
	return s.Check(ctx)
}

// membersV3 lists the members of a cluster with a v3 store.
func (r *Recovery) membersV3(ctx context.Context) ([]client.Member, error) {
	s, err := r.store()
	if err != nil {
		return nil, err
	}
	ctx, cancel := r.Connection.Context(ctx)
	defer cancel()
	found, err := s.Members(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]client.Member, len(found))
	for i, m := range found {
		all[i] = client.Member{ID: memberhost.ID(m.ID).String(), Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs}
	}
	return all, nil
}

// checkSums compares the two lists of checksums: the commands in a script use sumsFile, and
// this program uses the manifest.
func checkSums(folder string, m *Manifest) error {
	file, err := os.Open(filepath.Join(folder, sumsFile))
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Scan() // the manifest's own
	for _, f := range m.Files {
		if !lines.Scan() || lines.Text() != f.SHA256+"  "+f.Path {
			return fmt.Errorf("%s and %s disagree", sumsFile, manifestFile)
		}
	}
	return lines.Err()
}
