package changeover

import (
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
)

// verdict is what a description of the tree says.
type verdict struct {
	phase Phase
	// tree is set if reads are answered from the tree.
	tree bool
	// reason says why the phase is unknown.
	reason string
	meta   *layout.Meta
}

// read returns what a description says; nil is none.
func (p *Proxy) read(meta *mvccpb.KeyValue) verdict {
	if meta == nil {
		return verdict{phase: V2}
	}
	m, err := layout.DecodeMeta(meta.Value)
	if err == nil {
		err = m.Readable(p.o.known)
	}
	switch {
	case err != nil:
		return verdict{reason: err.Error()}
	case m.State == layout.Unfinished:
		return verdict{phase: V2}
	case m.State == layout.Frozen && m.Before == "":
		return verdict{phase: Frozen, meta: m}
	case !m.Moved:
		return verdict{reason: "the store has a tree that was not moved from the v2 API; set upstream.api = \"v3\" to serve it"}
	case m.State == layout.Frozen && m.Before == layout.Live:
		return verdict{phase: Frozen, tree: true, meta: m}
	case m.State == layout.Live:
		return verdict{phase: V3, tree: true, meta: m}
	}
	return verdict{reason: fmt.Sprintf("the tree is in the state %q, which this program does not know", m.State)}
}
