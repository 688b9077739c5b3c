package layout

import (
	"encoding/json"
	"fmt"
	"maps"
)

// Schema is the version of the layout that this package reads and writes.
const Schema = 1

// The states of a tree.
const (
	// Live is the state of a tree that serves clients.
	Live = "live"
	// Frozen is the state while a command moves the tree from one API to the other. Nobody
	// writes it then but the command.
	Frozen = "frozen"
	// Unfinished is the state of what is left of a tree when such a command has ended early, or has moved the keys
	// to the v2 API. The v2
	// API serves.
	Unfinished = "unfinished"
	// Rehearsal is the state of a tree that was made to be compared with another one. It is never served.
	Rehearsal = "rehearsal"
)

// What became of the keys of the v2 API since the tree has them.
const (
	// Dropping means that a command deletes them, or has ended early while it did.
	Dropping = "dropping"
	// Dropped means that they were deleted.
	Dropped = "dropped"
)

// Meta describes a tree. There is one if and only if the store has a tree.
type Meta struct {
	Schema int `json:"schema"`
	// MinRead and MinWrite are the oldest versions of the layout whose programs may read and
	// write the tree.
	MinRead  int `json:"min_read"`
	MinWrite int `json:"min_write"`
	// Offset is added to a revision to make an index.
	Offset int64  `json:"offset"`
	State  string `json:"state"`
	// Before is the state to which a frozen tree goes back if the command ends early; "" means
	// that there is no tree then, and that etcd's v2 API serves.
	Before string `json:"before,omitempty"`
	// V2Password is that of root at the v2 API, which refuses writes of all others since the keys were moved.
	V2Password string `json:"v2_password,omitempty"`
	// Moved is set if the tree was moved from the v2 API, and not made empty.
	Moved bool `json:"moved,omitempty"`
	// Left is the index of the v2 API when the tree was moved from there; 0 if that is not known.
	Left uint64 `json:"left,omitempty"`
	// V2Keys is Dropping, Dropped, or "" if the v2 API has the keys as they were when the tree was moved.
	V2Keys string `json:"v2_keys,omitempty"`
	// V2Edits is set from when a command writes nodes of the v2 API until it knows that etcd executes none of that any more.
	V2Edits bool `json:"v2_edits,omitempty"`
	// Copied is the index of the v2 API of which the tree is a copy, if it is that of a rehearsal and was complete then;
	// 0 otherwise.
	Copied uint64 `json:"copied,omitempty"`
	// Generation is random. Another one means that the tree has another past.
	Generation string `json:"generation"`

	// unknown are the fields that this version does not know, as the value of meta has them; "" for none. Who changes
	// a state keeps them.
	unknown string
}

// Readable returns an error if a program that knows a version of the layout is too old for the tree.
func (m *Meta) Readable(known int) error {
	if m.MinRead > known {
		return fmt.Errorf("the tree needs programs that know the version %d of its layout, and this one knows %d (hint: upgrade this program)", m.MinRead, known)
	}
	return nil
}

// Writable returns an error if a program that knows a version of the layout is too old to write the tree. The end of a
// freeze is the exception: any program that can read the description gives it the state before, and keeps the fields that
// it does not know, because clients would wait until a newer program is there. It removes nothing of such a tree.
func (m *Meta) Writable(known int) error {
	if m.MinWrite > known {
		return fmt.Errorf("the tree may be written by programs that know the version %d of its layout, and this one knows %d (hint: upgrade this program)", m.MinWrite, known)
	}
	return m.Readable(known)
}

// Index returns the index of a revision.
func (m *Meta) Index(revision int64) uint64 { return uint64(revision + m.Offset) }

// Revision returns the revision of an index.
func (m *Meta) Revision(index uint64) int64 { return int64(index) - m.Offset }

// Encode returns the value of meta.
func (m *Meta) Encode() []byte {
	known := marshal(m)
	if m.unknown == "" {
		return known
	}
	all := fields([]byte(m.unknown))
	maps.Copy(all, fields(known))
	return marshal(all)
}

// DecodeMeta decodes the value of meta.
func DecodeMeta(value []byte) (*Meta, error) {
	m := new(Meta)
	if err := json.Unmarshal(value, m); err != nil {
		return nil, fmt.Errorf("decoding the description of the tree: %w", err)
	}
	if m.Schema < 1 || m.MinRead < 1 || m.MinWrite < 1 {
		return nil, fmt.Errorf("decoding the description of the tree: found the schema %d with the oldest readers %d and writers %d, want versions from 1 on",
			m.Schema, m.MinRead, m.MinWrite)
	}
	all := fields(value)
	for name := range fields(marshal(m)) {
		delete(all, name)
	}
	if len(all) > 0 {
		m.unknown = string(marshal(all))
	}
	return m, nil
}

// fields returns the fields of a value that is known to be an object.
func fields(value []byte) (all map[string]json.RawMessage) {
	if err := json.Unmarshal(value, &all); err != nil {
		panic("BUG: the description of a tree is not an object: " + err.Error())
	}
	return all
}
