package v2state

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
)

// entry is an entry of raft: one of the requests, or none for a request to the v3 store.
type entry struct {
	index   uint64
	v2      *pb.Request
	change  *change
	version *membershippb.ClusterVersionSetRequest
	member  *membershippb.ClusterMemberAttrSetRequest
}

// change is a change of the membership.
type change struct {
	kind    uint64
	member  uint64
	context []byte
}

// The types of entries.
const (
	normalEntry = iota
	changeEntry
)

func decodeEntry(data []byte) (entry, error) {
	var m message
	if err := m.decode(data); err != nil {
		return entry{}, err
	}
	e := entry{index: m.numbers[3]}
	data = m.bytes[4]
	switch kind := m.numbers[1]; {
	case kind == changeEntry:
		var c message
		if err := c.decode(data); err != nil {
			return entry{}, fmt.Errorf("decoding the entry %d: %w", e.index, err)
		}
		e.change = &change{kind: c.numbers[2], member: c.numbers[3], context: c.bytes[4]}
	case kind != normalEntry:
		return entry{}, fmt.Errorf("the entry %d has the unknown type %d", e.index, kind)
	case len(data) > 0: // a new leader makes an empty one
		if err := e.request(data); err != nil {
			return entry{}, fmt.Errorf("decoding the entry %d: %w", e.index, err)
		}
	}
	return e, nil
}

// request decodes the request of an entry. A request of the v2 API that is not within another message
// cannot be decoded as such a message: etcd rests on that as well.
func (e *entry) request(data []byte) error {
	var r pb.InternalRaftRequest
	if r.Unmarshal(data) == nil {
		e.v2, e.version, e.member = r.V2, r.ClusterVersionSet, r.ClusterMemberAttrSet
		return nil
	}
	e.v2 = new(pb.Request)
	if e.v2.Unmarshal(data) != nil {
		return errMessage // the error could contain what a client wrote
	}
	return nil
}
