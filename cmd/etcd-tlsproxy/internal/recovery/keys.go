package recovery

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	client "go.etcd.io/etcd/client/v2"
)

// tree holds the keys that an etcd lists. etcd does not list hidden keys (_name): they
// are in the copy, but they cannot be counted or compared.
type tree struct {
	index uint64
	nodes map[string]node
	hasV3 bool // whether the v3 store of a sandbox has keys, or cannot be asked
}

type node struct {
	value      string
	dir        bool
	modified   uint64
	expiration *time.Time // the earliest of the node and of the directories above it
}

// readTree reads all keys. A quorum read is a proposal to all members: once it is
// answered, the log of the member records that all earlier writes are committed.
func readTree(ctx context.Context, keys client.KeysAPI, quorum bool) (*tree, error) {
	response, err := keys.Get(ctx, "/", &client.GetOptions{Recursive: true, Quorum: quorum})
	if err != nil {
		return nil, err
	}
	t := &tree{index: response.Index, nodes: make(map[string]node)}
	t.add(response.Node, nil)
	return t, nil
}

func (t *tree) add(n *client.Node, expiration *time.Time) {
	if n.Expiration != nil && (expiration == nil || n.Expiration.Before(*expiration)) {
		expiration = n.Expiration
	}
	if n.Key != "" && n.Key != "/" {
		t.nodes[n.Key] = node{n.Value, n.Dir, n.ModifiedIndex, expiration}
	}
	for _, child := range n.Nodes {
		t.add(child, expiration)
	}
}

// keys summarizes the tree.
func (t *tree) keys() *Keys {
	k := new(Keys)
	hash := sha256.New()
	field := func(s string) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(s)))
		hash.Write(length[:])
		hash.Write([]byte(s))
	}
	for _, key := range slices.Sorted(maps.Keys(t.nodes)) {
		n := t.nodes[key]
		if !n.dir {
			k.Count++
		}
		if n.expiration != nil {
			k.Expiring++
			continue
		}
		field(key)
		if n.dir {
			field("directory")
			continue
		}
		field("key")
		field(n.value)
	}
	k.Digest = "sha256:" + hex.EncodeToString(hash.Sum(nil))
	return k
}

// compare lists the differences between a member and a copy that was made between before
// and after. Clients may write in the meantime, so keys that changed are skipped, and so
// are keys that may have expired.
func compare(before, after, copied *tree, now time.Time) (compared int, differences []string) {
	for _, key := range slices.Sorted(maps.Keys(before.nodes)) {
		b := before.nodes[key]
		a, still := after.nodes[key]
		c, copied := copied.nodes[key]
		switch {
		case !still || a.modified != b.modified:
		case !copied && b.expiration != nil && b.expiration.Before(now.Add(time.Second)):
		case !copied:
			differences = append(differences, key+" is missing")
		case c.value != b.value || c.dir != b.dir:
			differences = append(differences, key+" has another value")
		case c.modified != b.modified:
			differences = append(differences, key+" has another index")
		case !equalTimes(c.expiration, b.expiration):
			differences = append(differences, key+" expires at another time")
		default:
			compared++
		}
	}
	for _, key := range slices.Sorted(maps.Keys(copied.nodes)) {
		_, wasThere := before.nodes[key]
		_, isThere := after.nodes[key]
		if !wasThere && !isThere && copied.nodes[key].modified <= before.index {
			differences = append(differences, key+" should not be there")
		}
	}
	return compared, differences
}

func equalTimes(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

// firstFew lists the first few of many differences.
func firstFew(all []string) string {
	const few = 5
	if len(all) <= few {
		return fmt.Sprint(all)
	}
	return fmt.Sprintf("%v and %d more", all[:few], len(all)-few)
}
