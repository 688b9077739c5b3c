package v2state

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/proxy/v2store"
)

// castagnoli is the polynomial of etcd's checksums.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maxSnapshot bounds the size of a snapshot, which is read as a whole. Etcd holds the same store in
// memory.
const maxSnapshot = 4 << 30

// readSnapshot reads a file of etcd: a message with a checksum, in which is a message of raft, in which
// is the store as JSON.
func readSnapshot(path string) (tree *v2store.Tree, from uint64, err error) {
	file, err := memberhost.OpenOwned(path)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSnapshot))
	if err != nil {
		return nil, 0, err
	}
	var head, snapshot, metadata message
	if err := head.decode(data); err != nil {
		return nil, 0, err
	}
	if got := crc32.Checksum(head.bytes[2], castagnoli); len(head.bytes[2]) == 0 || uint64(got) != head.numbers[1] {
		return nil, 0, errors.New("its checksum is wrong")
	}
	if err := errors.Join(snapshot.decode(head.bytes[2]), metadata.decode(snapshot.bytes[2])); err != nil {
		return nil, 0, err
	}
	tree, err = decodeStore(snapshot.bytes[1])
	return tree, metadata.numbers[2], err
}

// storedNode is a node as etcd writes it.
type storedNode struct {
	CreatedIndex, ModifiedIndex uint64
	ExpireTime                  time.Time
	Value                       string
	Children                    map[string]*storedNode // nil for a file
}

// storeVersion is the version of the JSON, in all releases of etcd since 2.0.
const storeVersion = 2

func decodeStore(data []byte) (*v2store.Tree, error) {
	var store struct {
		Root           *storedNode
		CurrentIndex   uint64
		CurrentVersion int
	}
	if err := json.Unmarshal(data, &store); err != nil {
		return nil, errors.New("its store is not valid JSON") // the error could contain values
	}
	if store.Root == nil || store.CurrentVersion != storeVersion {
		return nil, fmt.Errorf("found a store of version %d, want %d", store.CurrentVersion, storeVersion)
	}
	tree := v2store.New(store.CurrentIndex)
	if err := store.Root.load(tree, ""); err != nil {
		return nil, err
	}
	return tree, nil
}

// load loads what is below a node.
func (n *storedNode) load(tree *v2store.Tree, key string) error {
	for _, name := range slices.Sorted(maps.Keys(n.Children)) {
		child := n.Children[name]
		r := v2store.Record{Key: key + "/" + name, Dir: child.Children != nil, Value: child.Value,
			Created: child.CreatedIndex, Modified: child.ModifiedIndex, Recorded: child.ModifiedIndex}
		if !child.ExpireTime.IsZero() {
			r.Expires = child.ExpireTime.UnixNano()
		}
		if err := tree.Load(r); err != nil {
			return err
		}
		if err := child.load(tree, r.Key); err != nil {
			return err
		}
	}
	return nil
}
