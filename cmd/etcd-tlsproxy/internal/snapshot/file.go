package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"

	"etcd-tlsproxy/proxy/v2v3/layout"
)

// Read checks a snapshot, and returns the tree in it and whether etcd's authentication is enabled in it. The
// file must be as etcd sent it, its database must be consistent, and it must have a tree. read is called
// with the number of bytes that were read.
func Read(path, prefix string, read func(int64)) (t *Tree, auth bool, err error) {
	if err := checkSum(path, read); err != nil {
		return nil, false, fmt.Errorf("%s is not a whole snapshot: %w", path, err)
	}
	// The library panics where it finds pages that it does not expect.
	defer func() {
		if found := recover(); found != nil {
			t, err = nil, fmt.Errorf("%s is not a valid database: %v", path, found)
		}
	}()
	db, err := bolt.Open(path, 0o400, &bolt.Options{ReadOnly: true})
	if err != nil {
		return nil, false, fmt.Errorf("%s is not a valid database: %w", path, err)
	}
	err = db.View(func(tx *bolt.Tx) error {
		if err := checkPages(tx); err != nil {
			return err
		}
		if b := tx.Bucket([]byte("auth")); b != nil {
			auth = bytes.Equal(b.Get([]byte("authEnabled")), []byte{1})
		}
		t, err = readTree(tx, layout.Keys(prefix))
		return err
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return nil, false, fmt.Errorf("the snapshot %s cannot be used: %w", path, err)
	}
	return t, auth, nil
}

// checkSum compares the SHA-256 at the end of a file with that of what is before.
func checkSum(path string, read func(int64)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	// A database consists of pages, whose size is a multiple of this.
	const sector = 512
	if size := info.Size(); size < sector || size%sector != sha256.Size {
		return fmt.Errorf("it has %d bytes, which is no database with a checksum", size)
	}
	hash, want := sha256.New(), make([]byte, sha256.Size)
	if _, err := io.Copy(hash, io.LimitReader(file, info.Size()-sha256.Size)); err != nil {
		return err
	}
	if _, err := io.ReadFull(file, want); err != nil {
		return err
	}
	read(info.Size())
	if !bytes.Equal(hash.Sum(nil), want) {
		return errors.New("its checksum is wrong")
	}
	return nil
}

// checkPages looks at all pages. The library's own check runs in a goroutine, in which a panic ends the process.
// So all that it follows is read here before.
func checkPages(tx *bolt.Tx) error {
	err := tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
		return b.ForEach(func([]byte, []byte) error { return nil })
	})
	if err != nil {
		return err
	}
	var first error
	n := 0
	for err := range tx.Check() {
		if n++; first == nil {
			first = err
		}
	}
	if first != nil {
		return fmt.Errorf("its database has %d faults, the first is: %w", n, first)
	}
	return nil
}

// revisionSize is the length of a key in etcd's bucket of revisions: two numbers with a byte in
// between. One more byte marks a deletion.
const revisionSize = 17

// readTree reads the last revision of each key.
func readTree(tx *bolt.Tx, keys layout.Keys) (*Tree, error) {
	bucket := tx.Bucket([]byte("key"))
	if bucket == nil {
		return nil, errors.New("it has no keys, and is not a database of etcd 3")
	}
	start, end := keys.Range()
	newest := map[string][]byte{}
	revision := int64(0)
	err := bucket.ForEach(func(at, raw []byte) error {
		if len(at) != revisionSize && len(at) != revisionSize+1 {
			return fmt.Errorf("the revision %x is not one of etcd", at)
		}
		revision = int64(binary.BigEndian.Uint64(at))
		key, err := keyOf(raw)
		switch {
		case err != nil:
			return fmt.Errorf("the revision %d is not readable: %w", revision, err)
		case bytes.Compare(key, start) < 0 || bytes.Compare(key, end) >= 0:
		case len(at) > revisionSize:
			delete(newest, string(key))
		default:
			newest[string(key)] = raw
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s := newSummary(keys)
	for _, key := range slices.Sorted(maps.Keys(newest)) {
		kv := new(mvccpb.KeyValue)
		if err := kv.Unmarshal(newest[key]); err != nil {
			return nil, fmt.Errorf("the key %q is not readable: %w", key, err)
		}
		if err := s.add(kv); err != nil {
			return nil, err
		}
	}
	return s.finish(revision)
}

// keyOf returns the key of an encoded [mvccpb.KeyValue], which is its first field. An empty one raises the
// revision only.
func keyOf(raw []byte) ([]byte, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	number, kind, n := protowire.ConsumeTag(raw)
	if n < 0 || number != 1 || kind != protowire.BytesType {
		return nil, errors.New("it does not begin with a key")
	}
	key, n := protowire.ConsumeBytes(raw[n:])
	return key, protowire.ParseError(min(n, 0))
}

// lockTimeout bounds the wait for a database that a running etcd has locked.
const lockTimeout = time.Second

// HasTree reports whether the database of a stopped member has a tree of the v2 API, with whatever prefix.
func HasTree(database string) (found bool, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("%s is not a valid database: %v", database, panicked)
		}
	}()
	db, err := bolt.Open(database, 0o400, &bolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", database, err)
	}
	err = db.View(func(tx *bolt.Tx) error {
		bucket := tx.Bucket([]byte("key"))
		if bucket == nil {
			return nil
		}
		return bucket.ForEach(func(_, raw []byte) error {
			key, err := keyOf(raw)
			found = found || bytes.HasSuffix(key, layout.Keys("").Meta())
			return err
		})
	})
	return found, errors.Join(err, db.Close())
}
