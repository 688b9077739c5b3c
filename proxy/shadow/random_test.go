package shadow

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"etcd-tlsproxy/proxy/proxytest/v2draw"
)

// drawn is what requests are drawn for.
type drawn struct{ index uint64 }

// Index implements [v2draw.Tree].
func (d *drawn) Index() uint64 { return d.index }

// Modified implements [v2draw.Tree].
func (*drawn) Modified(string) uint64 { return 0 }

// TestAShadowOfAnEqualStoreNeverDiffers sends random requests of several clients, hidden keys, nodes that expire and
// refreshes among them.
func TestAShadowOfAnEqualStoreNeverDiffers(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.follow()
	seed := rand.Uint64()
	t.Log("seed", seed)
	const clients, requests = 4, 500
	var running sync.WaitGroup
	for c := range clients {
		running.Go(func() {
			at := &drawn{}
			for i := range requests {
				choices := v2draw.New(seed + uint64(c*requests+i))
				r := choices.Request(at, v2draw.AnyLife)
				if strings.Contains(r.Query+r.Body, "refresh=") && strings.Contains(r.Query+r.Body, "dir=") {
					r.Query, r.Body = "", "" // it could make a directory of a file, of which no event tells
				}
				at.index = max(at.index, f.send([]*Shadow{f.Shadow}, r).index)
			}
		})
	}
	running.Wait()
	f.eventually("all answers are looked at", func() bool { return total(f.Status()) == clients*requests })
	st := f.Status()
	t.Logf("%+v", st)
	if st.Differing() > 0 {
		t.Errorf("got %d differences, want none: %+v", st.Differing(), st.First)
	}
	if st.ComparedReads < 100 || st.ComparedWrites < clients*requests/2 {
		t.Errorf("compared %d reads and %d writes, want most of them", st.ComparedReads, st.ComparedWrites)
	}
}
