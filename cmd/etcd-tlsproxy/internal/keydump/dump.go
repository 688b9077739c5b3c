// Package keydump writes trees of etcd's keys into files and loads them again.
//
// A dump is lines of JSON: a [Header], then an [Entry] for each directory and key,
// parents before children. It is one quorum read, so it is one point in time. What
// etcd does not list, hidden keys (their last segment begins with _), is in it only
// if it was asked for by name.
//
// Loading is careful: nothing is written before the whole file was read and checked;
// what changed after the dump is left alone; each write names the state it was
// decided on, so that nothing that happens meanwhile is lost. A load that was
// interrupted can be run again.
package keydump

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/acl"
)

// format is the only one there is.
const format = 1

// Header is a dump's first line.
type Header struct {
	Format int     `json:"etcdTlsproxyDump"`
	Prefix acl.Key `json:"prefix"`
	// ClusterID and Index are the cluster and its index when it was read. Indexes of
	// different clusters do not compare.
	ClusterID string    `json:"clusterId"`
	Index     uint64    `json:"index"`
	Taken     time.Time `json:"taken"`
	// Entries is the number of lines that follow: a file that was cut short has less.
	Entries int `json:"entries"`
}

// Entry is a directory or a key.
type Entry struct {
	Key acl.Key `json:"key"`
	Dir bool    `json:"dir,omitempty"`
	// Value is nil for a directory.
	Value *string `json:"value,omitempty"`
	// Expiration is when it ends, by the clock of etcd's leader.
	Expiration    *time.Time `json:"expiration,omitempty"`
	CreatedIndex  uint64     `json:"createdIndex,omitempty"`
	ModifiedIndex uint64     `json:"modifiedIndex,omitempty"`
}

// Dump is a tree at one point in time.
type Dump struct {
	Header
	Tree []Entry
	// LeftOut is what could not be written back, and why.
	LeftOut []Omission
}

// Omission is something to be told about a key.
type Omission struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// Take reads the tree below a prefix, and hidden keys below it that are named. The
// tree is one read; each hidden key is another, made later.
func Read(ctx context.Context, etcd client.Client, prefix acl.Key, hidden []acl.Key, now time.Time) (*Dump, error) {
	tree, err := read(ctx, etcd, prefix)
	if err != nil {
		return nil, err
	}
	if tree.node == nil {
		return nil, fmt.Errorf("there is no key %v", prefix)
	}
	d := &Dump{Header: Header{Format: format, Prefix: prefix, ClusterID: tree.clusterID, Index: tree.index, Taken: now.UTC().Truncate(time.Second)}}
	d.add(tree.node)
	for _, key := range hidden {
		if !prefix.Covers(key) {
			return nil, fmt.Errorf("the hidden key %v is not below %v", key, prefix)
		}
		if slices.ContainsFunc(d.Tree, func(e Entry) bool { return e.Key == key }) {
			return nil, fmt.Errorf("%v is named as hidden, but is in the dump already", key)
		}
		more, err := read(ctx, etcd, key)
		if err != nil {
			return nil, err
		}
		if more.node == nil {
			return nil, fmt.Errorf("there is no hidden key %v", key)
		}
		if more.clusterID != d.ClusterID {
			return nil, fmt.Errorf("reading %v: another cluster answered (hint: --endpoints names more than one)", key)
		}
		d.add(more.node)
	}
	slices.SortFunc(d.Tree, byKey)
	d.Entries = len(d.Tree)
	return d, nil
}

// byKey puts parents before their children.
func byKey(a, b Entry) int { return strings.Compare(string(a.Key), string(b.Key)) }

func (d *Dump) add(n *node) {
	if n.Key.decoded != "" && n.Key.decoded != string(acl.Root) {
		key, err := acl.NewKey(n.Key.decoded)
		switch {
		case n.Key.replaced:
			d.leaveOut(n, "it holds bytes that are not UTF-8, which etcd does not show")
		case err != nil:
			d.leaveOut(n, err.Error())
		case key.Reserved():
			d.leaveOut(n, "nobody may write it: etcd would take it for its own record of a member")
		case n.Value.replaced:
			d.leaveOut(n, "its value holds bytes that are not UTF-8, which etcd does not show")
		default:
			e := Entry{Key: key, Dir: n.Dir, Expiration: n.Expiration, CreatedIndex: n.CreatedIndex, ModifiedIndex: n.ModifiedIndex}
			if !n.Dir {
				e.Value = &n.Value.decoded
			}
			d.Tree = append(d.Tree, e)
		}
	}
	for _, child := range n.Nodes {
		d.add(child)
	}
}

func (d *Dump) leaveOut(n *node, reason string) {
	d.LeftOut = append(d.LeftOut, Omission{acl.Key(n.Key.decoded).String(), reason})
}

// Write writes the dump's lines.
func (d *Dump) Write(w io.Writer) error {
	buffered := bufio.NewWriter(w)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false) // values are read by people, in no HTML
	if err := encoder.Encode(d.Header); err != nil {
		return err
	}
	for _, e := range d.Tree {
		if err := encoder.Encode(e); err != nil {
			return err
		}
	}
	return buffered.Flush()
}
