package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// Tree summarizes the tree in a store or in a snapshot.
type Tree struct {
	// Revision is the last one of the store. The last event of the tree has Index.
	Revision int64
	Index    uint64
	// Files and Dirs count nodes, hidden ones included. Expiring counts those of them that have an
	// expiration of their own.
	Files, Dirs, Expiring int
	// Foreign counts values without a record, which are not of the v2 API, and Broken the nodes
	// without a value or without a parent.
	Foreign, Broken int
	// Digest is that of all nodes, with their values, indexes and expirations.
	Digest string

	meta             *layout.Meta
	metaAt, loggedAt int64
}

// summary collects a tree from its keys, which must come in order.
type summary struct {
	keys  layout.Keys
	tree  Tree
	hash  hash.Hash
	dirs  map[string]bool
	files map[string]bool // whose values are still to come
}

func newSummary(keys layout.Keys) *summary {
	return &summary{keys: keys, hash: sha256.New(), dirs: map[string]bool{"": true}, files: map[string]bool{}}
}

func (s *summary) add(kv *mvccpb.KeyValue) error {
	kind, key := s.keys.Parse(kv.Key)
	switch kind {
	case layout.Stored:
		meta, err := layout.DecodeMeta(kv.Value)
		if err != nil {
			return err
		}
		s.tree.meta, s.tree.metaAt = meta, kv.ModRevision
	case layout.Log:
		s.tree.loggedAt = kv.ModRevision
	case layout.Dir, layout.File:
		r := v2store.Record{Key: key}
		if _, err := layout.DecodeRecord(kv.Value, &r); err != nil {
			return err
		}
		if r.Expires != 0 {
			s.tree.Expiring++
		}
		s.field(kv)
		if kind == layout.Dir {
			s.tree.Dirs++
			s.dirs[key] = true
		} else {
			s.tree.Files++
			s.files[key] = true
		}
		if parent := key[:strings.LastIndexByte(key, '/')]; !s.dirs[parent] {
			s.tree.Broken++
		}
	case layout.Data:
		if !s.files[key] {
			s.tree.Foreign++
			return nil
		}
		delete(s.files, key)
		s.field(kv)
	}
	return nil
}

// field adds a key to the digest. The revision of a value is not a part of the tree: only that of
// the record is.
func (s *summary) field(kv *mvccpb.KeyValue) {
	revision := kv.ModRevision
	if kind, _ := s.keys.Parse(kv.Key); kind == layout.Data {
		revision = 0
	}
	key, _ := strings.CutPrefix(string(kv.Key), string(s.keys))
	var numbers [24]byte
	binary.BigEndian.PutUint64(numbers[:], uint64(len(key)))
	binary.BigEndian.PutUint64(numbers[8:], uint64(len(kv.Value)))
	binary.BigEndian.PutUint64(numbers[16:], uint64(revision))
	s.hash.Write(numbers[:])
	s.hash.Write([]byte(key))
	s.hash.Write(kv.Value)
}

// finish returns the tree as of a revision.
func (s *summary) finish(revision int64) (*Tree, error) {
	t := &s.tree
	switch {
	case t.meta == nil:
		return nil, fmt.Errorf("%w: the key %q is missing (hint: the tree is where the configuration says, in upstream.endpoints and upstream.prefix)", ErrNoTree, s.keys.Meta())
	case t.loggedAt == 0:
		return nil, errors.New("it has a tree whose log is missing")
	}
	if err := t.meta.Readable(layout.Schema); err != nil {
		return nil, err
	}
	t.Broken += len(s.files)
	t.Revision, t.Index = revision, t.meta.Index(t.loggedAt)
	t.Digest = "sha256:" + hex.EncodeToString(s.hash.Sum(nil))
	return t, nil
}

// ErrNoTree means that there is no tree of the v2 API.
var ErrNoTree = errors.New("it has no tree of the v2 API")
