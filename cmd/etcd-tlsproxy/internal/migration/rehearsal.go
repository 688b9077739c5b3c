// Package migration moves the keys of the v2 store of an etcd cluster to a v3 store, or tries whether that can be
// done.
//
// A [Rehearsal] reads the v2 store from the files of a member, with hidden keys, and compares that with what the
// member answers. It then writes the nodes, with their indexes and expiries, below a prefix of the v3 store
// that no proxy serves, loads them from there in the way of a proxy, and compares again. The cluster goes on
// meanwhile, and nothing of it is changed. A [Switch] does the same at the prefix that proxies serve, and makes
// the copy the tree that they serve; see package changeover for what they do meanwhile. A [Back] writes the tree to
// the v2 API again. A [Drop] deletes what the v2 API has.
//
// The tree at such a prefix is in the state [layout.Rehearsal] or [layout.Unfinished] from its first key on, and
// whoever changes it holds its lock, which goes with a lease. So an attempt that was interrupted is recognized and
// replaced, and two of them exclude each other.
package migration

import (
	"context"
	"fmt"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/v2state"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
)

// Rehearsal says what is moved, and to where.
type Rehearsal struct {
	// Connection leads to the member whose files are read.
	Connection cluster.Connection
	// DataDir and WALDir are its folders; WALDir is empty if the log is in the data folder.
	DataDir, WALDir string
	// Store is the v3 store. Its prefix is that of the rehearsal.
	Store v2v3.Options
	// Served is the prefix of the tree that proxies serve, or will.
	Served string
	// Note reports an event, and Progress starts a report of the progress of long work.
	Note     func(text string)
	Progress func(what string, total int64) (add func(n int64), done func())
}

// Content is what a v2 store has at an index.
type Content struct {
	// Member is the name of the member that was read, and Version that of its etcd.
	Member  string `json:"member"`
	Version string `json:"version"`
	Index   uint64 `json:"index"`
	// Files, Directories, Hidden and Expiring are numbers of nodes. The last two are among the first two. A
	// node below a hidden one is hidden too.
	Files       int `json:"files"`
	Directories int `json:"directories"`
	Hidden      int `json:"hidden"`
	Expiring    int `json:"expiring"`
	// Bytes are those of keys and values.
	Bytes int64 `json:"bytes"`
	// Snapshot and Entries say what was read: the name of the file, and the number of entries of the log
	// behind it.
	Snapshot string `json:"snapshot"`
	Entries  int    `json:"log_entries"`
	// Read is how long that took.
	Read Seconds `json:"read_seconds"`
	// Differences are those between the files and the answer of the member.
	Differences Differences `json:"read_differences"`

	// records are the nodes, but for the key of a command that writes to the v2 API. own is set if that is there.
	records []v2store.Record
	own     bool
	cluster memberhost.ID
	// users and roles are the names of etcd's own.
	users, roles []string
}

// belongs returns an error unless the content is that of the cluster with an id: that of the v3 store.
func (c *Content) belongs(id uint64) error {
	if store := memberhost.ID(id); store != c.cluster {
		return fmt.Errorf("the member %s belongs to the cluster %s, but the v3 store of the configuration to %s (hint: --endpoints and --data-dir must be those of a member of the cluster in upstream.endpoints)", c.Member, c.cluster, store)
	}
	return nil
}

// ExpiringWithin returns how many nodes expire within a time.
func (c *Content) ExpiringWithin(d time.Duration) (n int) {
	end := time.Now().Add(d).UnixNano()
	for i := range c.records {
		if at := c.records[i].Expires; at != 0 && at < end {
			n++
		}
	}
	return n
}

// Nodes returns the number of nodes.
func (c *Content) Nodes() int { return len(c.records) }

// Seconds is a duration that is shown in seconds.
type Seconds float64

func since(start time.Time) Seconds { return Seconds(time.Since(start).Seconds()) }

// maxAttempts bounds how often the files are read. They may lack an index because etcd is writing a snapshot or
// removes a file of its log.
const maxAttempts = 5

// attemptPause is the time between two attempts. Etcd needs about as long for the snapshot of a large store.
const attemptPause = time.Second

// Take reads the store of the member.
func (r *Rehearsal) Take(ctx context.Context) (*Content, error) {
	m, err := r.member(ctx)
	if err != nil {
		return nil, err
	}
	source := v2state.Source{DataDir: r.DataDir, WALDir: r.WALDir, UpdatesDirs: m.updatesDirs()}
	for attempt := 1; ; attempt++ {
		start := time.Now()
		visible, index, err := m.readAll(ctx)
		if err != nil {
			return nil, err
		}
		// The log says that an entry is committed when the next one is written: this one.
		if _, err := m.index(ctx); err != nil {
			return nil, err
		}
		state, err := source.Read(index)
		if err != nil {
			if attempt == maxAttempts {
				return nil, fmt.Errorf("reading the files of the member: %w (hint: --data-dir and --wal-dir must be the folders of the member at --endpoints)", err)
			}
			r.Note("reading the files again: " + err.Error())
			if err := wait(ctx, attemptPause); err != nil {
				return nil, err
			}
			continue
		}
		c := &Content{cluster: m.cluster, Member: m.name, Version: m.version, Index: index, Snapshot: state.Snapshot, Entries: state.Entries}
		c.add(state)
		c.users, c.roles = state.Users(), state.Roles()
		c.Read = since(start)
		c.Differences = compareVisible(visible, c.records)
		return c, nil
	}
}

// takeAll is Take, and makes sure that all of it was read.
func (r *Rehearsal) takeAll(ctx context.Context) (*Content, error) {
	c, err := r.Take(ctx)
	if err != nil {
		return nil, err
	}
	if d := &c.Differences; d.Count > 0 {
		return nil, fmt.Errorf("the files of the member are not what it answers: %d differences, the first is that %q %s", d.Count, d.First[0].Key, d.First[0].What)
	}
	return c, nil
}

// takeOf is takeAll for the cluster that has a store.
func (r *Rehearsal) takeOf(ctx context.Context, s *store) (*Content, error) {
	c, err := r.takeAll(ctx)
	if err != nil {
		return nil, err
	}
	return c, c.belongs(s.cluster)
}

// add adds the nodes of a store.
func (c *Content) add(state *v2state.State) {
	for record := range state.Records() {
		if record.Key == ownKey && !record.Dir {
			c.own = true
			continue
		}
		c.records = append(c.records, record)
		c.Bytes += int64(len(record.Key) + len(record.Value))
		if record.Dir {
			c.Directories++
		} else {
			c.Files++
		}
		if hidden(record.Key) {
			c.Hidden++
		}
		if record.Expires != 0 {
			c.Expiring++
		}
	}
}

// Since returns how far the index of the member has gone on.
func (r *Rehearsal) Since(ctx context.Context, c *Content) (uint64, error) {
	m, err := r.member(ctx)
	if err != nil {
		return 0, err
	}
	index, err := m.index(ctx)
	return index - c.Index, err
}
