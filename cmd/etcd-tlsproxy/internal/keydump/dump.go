// Package keydump dumps trees of etcd's keys to files and loads them again.
//
// A dump consists of lines of JSON: a [Header], then an [Entry] for each directory and
// key, parents before children. It is the result of one quorum read, so it shows one
// point in time. etcd does not list hidden keys, whose last segment begins with _; a dump
// contains only those that are given by name.
//
// A load checks the whole file before it writes anything. It does not overwrite changes
// that were made after the dump, and each write is conditional on the state that the plan
// was made for, so concurrent changes are not lost. An interrupted load can be run again.
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

	"github.com/dustin/go-humanize/english"
	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/acl"
)

// format is the version of the format.
const format = 1

// Header is the first line of a dump.
type Header struct {
	Format int     `json:"etcdTlsproxyDump"`
	Prefix acl.Key `json:"prefix"`
	// ClusterID and Index are those of the cluster at the time of the read. Indexes of
	// different clusters cannot be compared.
	ClusterID string    `json:"clusterId"`
	Index     uint64    `json:"index"`
	Taken     time.Time `json:"taken"`
	// Entries is the number of lines that follow. A truncated file has fewer.
	Entries int `json:"entries"`
}

// Entry is a directory or a key.
type Entry struct {
	Key acl.Key `json:"key"`
	Dir bool    `json:"dir,omitempty"`
	// Value is nil for a directory.
	Value *string `json:"value,omitempty"`
	// Expiration is the time at which it expires, by the clock of etcd's leader.
	Expiration    *time.Time `json:"expiration,omitempty"`
	CreatedIndex  uint64     `json:"createdIndex,omitempty"`
	ModifiedIndex uint64     `json:"modifiedIndex,omitempty"`
}

// Dump is a tree at one point in time.
type Dump struct {
	Header
	Tree []Entry
	// LeftOut lists keys that could not be loaded again, with the reason.
	LeftOut []Omission
}

// Omission is a key that is not in a dump.
type Omission struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// Read reads the tree below a prefix, and the given hidden keys below it. The tree is one
// read; each hidden key is a separate, later one.
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
			return nil, fmt.Errorf("%v is given as a hidden key, but it is already in the dump", key)
		}
		more, err := read(ctx, etcd, key)
		if err != nil {
			return nil, err
		}
		if more.node == nil {
			return nil, fmt.Errorf("there is no hidden key %v", key)
		}
		if more.clusterID != d.ClusterID {
			return nil, fmt.Errorf("reading %v: another cluster answered (hint: all --endpoints must belong to one cluster)", key)
		}
		d.add(more.node)
	}
	slices.SortFunc(d.Tree, byKey)
	d.Entries = len(d.Tree)
	return d, nil
}

// byKey sorts parents before their children.
func byKey(a, b Entry) int { return strings.Compare(string(a.Key), string(b.Key)) }

func (d *Dump) add(n *node) {
	if n.Key.decoded != "" && n.Key.decoded != string(acl.Root) {
		key, err := acl.NewKey(n.Key.decoded)
		switch {
		case n.Key.replaced:
			d.omit(n, "it contains bytes that are not UTF-8, which etcd does not return unchanged")
		case err != nil:
			d.omit(n, err.Error())
		case key.Reserved():
			d.omit(n, "it cannot be written: etcd would read it as its own record of a member")
		case key.Depth() > acl.MaxDepth:
			// Everything below it is too deep as well. A line for each level of a deep tree
			// would be long and say nothing more.
			d.omit(n, fmt.Sprintf("the proxy serves at most %d segments, so load could not write it back; %s below it %s left out with it", acl.MaxDepth, english.Plural(n.below(), "entry", "entries"), english.PluralWord(n.below(), "is", "are")))
			return
		case n.Value.replaced:
			d.omit(n, "its value contains bytes that are not UTF-8, which etcd does not return unchanged")
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

func (d *Dump) omit(n *node, reason string) {
	d.LeftOut = append(d.LeftOut, Omission{acl.Key(n.Key.decoded).String(), reason})
}

// Write writes the dump's lines.
func (d *Dump) Write(w io.Writer) error {
	buffered := bufio.NewWriter(w)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false) // a dump is never part of an HTML page, so escapes would only make it harder to read
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
