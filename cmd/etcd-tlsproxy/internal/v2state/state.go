package v2state

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/proxy/v2store"
)

// Keys is where the store has the keys of clients.
const Keys = "/1"

// users2 and roles2 are where the store has etcd's own users, and their roles.
const (
	users2 = "/2/users"
	roles2 = "/2/roles"
)

// ErrNotYet means that the files do not have the index yet, or not any more. It is worth another attempt,
// after another quorum read.
var ErrNotYet = errors.New("the files of the member do not have the wanted index")

// Source says where the files of a member are.
type Source struct {
	// DataDir is the data folder. WALDir is the folder of the log, or "" if the log is in the data folder.
	DataDir, WALDir string
	// UpdatesDirs means that the member performs updates of directories, as etcd 3.4 does. Etcd 3.5
	// refuses them.
	UpdatesDirs bool
}

// State is the store of a member at an index.
type State struct {
	tree *v2store.Tree
	// Snapshot is the name of the file that was read, or "" if the log reaches back to the beginning.
	Snapshot string
	// Entries is the number of entries of the log behind it that were applied.
	Entries int
}

// Index returns the index of the last change.
func (s *State) Index() uint64 { return s.tree.Index() }

// Records returns the keys of clients, hidden ones included. A directory precedes what is below it.
func (s *State) Records() iter.Seq[v2store.Record] {
	return func(yield func(v2store.Record) bool) {
		for r := range s.tree.Below(Keys) {
			r.Key = strings.TrimPrefix(r.Key, Keys)
			if !yield(r) {
				return
			}
		}
	}
}

// Users returns the names of etcd's own users of the v2 API.
func (s *State) Users() []string { return s.names(users2) }

// Roles returns the names of the roles of these users.
func (s *State) Roles() []string { return s.names(roles2) }

// names returns the names of what is in a directory.
func (s *State) names(dir string) (names []string) {
	for r := range s.tree.Below(dir) {
		names = append(names, path.Base(r.Key))
	}
	return names
}

// Read reads the store as it was at an index.
func (s *Source) Read(index uint64) (*State, error) {
	tree, snapshot, from, err := s.snapshot(index)
	if err != nil {
		return nil, err
	}
	l, err := readLog(memberhost.LogOf(s.DataDir, s.WALDir), from)
	if err != nil {
		return nil, err
	}
	a := &applier{tree: tree, updatesDirs: s.UpdatesDirs}
	state := &State{tree: tree, Snapshot: snapshot}
	for _, e := range l.committed() {
		if tree.Index() >= index {
			break
		}
		if err := a.apply(e); err != nil {
			return nil, fmt.Errorf("applying the entry %d of the log: %w", e.index, err)
		}
		state.Entries++
	}
	switch {
	case tree.Index() < index:
		return nil, fmt.Errorf("%w: they reach to %d, want %d", ErrNotYet, tree.Index(), index)
	case tree.Index() > index:
		return nil, fmt.Errorf("an entry of the log leads to the index %d, and the member has answered at %d, which is before it; the log is not that of this member", tree.Index(), index)
	}
	return state, nil
}

// snapshot reads the newest valid snapshot that is not beyond an index, and returns the raft index
// behind which the log goes on. Etcd may be writing the newest one. Without any, the store is empty.
func (s *Source) snapshot(index uint64) (tree *v2store.Tree, name string, from uint64, err error) {
	folder := filepath.Join(s.DataDir, "member", "snap")
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, "", 0, fmt.Errorf("finding the snapshots of the member: %w", err)
	}
	found, failed := false, error(nil)
	for _, entry := range slices.Backward(entries) { // they are sorted by term and index
		if !strings.HasSuffix(entry.Name(), ".snap") {
			continue
		}
		found = true
		file := filepath.Join(folder, entry.Name())
		tree, from, err := readSnapshot(file)
		switch {
		case err != nil:
			failed = errors.Join(failed, fmt.Errorf("reading the snapshot %s: %w", file, err))
		case tree.Index() <= index:
			return tree, entry.Name(), from, nil
		}
	}
	switch {
	case failed != nil:
		return nil, "", 0, failed
	case found:
		return nil, "", 0, fmt.Errorf("%w: all snapshots are newer than %d", ErrNotYet, index)
	}
	tree, err = emptyStore()
	return tree, "", 0, err
}

// emptyStore returns the store with which a member begins.
func emptyStore() (*v2store.Tree, error) {
	tree := v2store.New(0)
	for _, key := range []string{members0, Keys} {
		if err := tree.Load(v2store.Record{Key: key, Dir: true}); err != nil {
			return nil, err
		}
	}
	return tree, nil
}
