package mirror

import "etcd-tlsproxy/proxy/v2v3/layout"

// Witness sees what becomes of the tree of a rehearsal. Its methods are called while the tree is locked, so they must
// not use the store.
type Witness interface {
	// Loaded is called when another copy of the tree is in use.
	Loaded(m *Mirror)
	// Applying is called before the changes with an index are applied, and Applied afterwards, with their keys.
	Applying(m *Mirror, index uint64)
	Applied(m *Mirror, index uint64, keys []string)
}

// applyBatch applies the changes of a batch one after the other. For the tree they all have the index of the revision.
func (m *Mirror) applyBatch(r *layout.Revision) error {
	var keys []string
	for i := range r.Batch {
		b := &r.Batch[i]
		if m.Witness != nil && len(keys) == 0 {
			m.Witness.Applying(m, b.Index)
		}
		c := b.Change(r.Entry.Time)
		apply := m.Tree.Apply
		if i > 0 {
			apply = m.Tree.ApplyBeside
		}
		e, err := apply(c, m.Meta.Index(r.Number))
		if err != nil {
			return err
		}
		m.note(c, e)
		keys = append(keys, b.Key)
		if i+1 < len(r.Batch) && r.Batch[i+1].Index == b.Index {
			continue
		}
		if m.Witness != nil {
			m.Witness.Applied(m, b.Index, keys)
		}
		keys = nil
	}
	m.LogRevision, m.Log = r.Number, r.Log
	return nil
}
