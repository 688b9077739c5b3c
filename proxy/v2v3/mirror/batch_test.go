package mirror_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/mirror"
)

// seen is what a witness has seen of the file /a.
type seen []string

func (s *seen) value(when string, m *mirror.Mirror, index uint64) {
	r, found := m.Tree.Record("/a")
	*s = append(*s, fmt.Sprintf("%s %d: %t %q", when, index, found, r.Value))
}

// Loaded implements [mirror.Witness].
func (*seen) Loaded(*mirror.Mirror) {}

// Applying implements [mirror.Witness].
func (s *seen) Applying(m *mirror.Mirror, index uint64) { s.value("before", m, index) }

// Applied implements [mirror.Witness].
func (s *seen) Applied(m *mirror.Mirror, index uint64, keys []string) {
	s.value(fmt.Sprint(keys, " after"), m, index)
}

// TestAWitnessSeesTheTreeAtEachIndexOfABatch applies a batch whose changes replace each other.
func TestAWitnessSeesTheTreeAtEachIndexOfABatch(t *testing.T) {
	k, meta, m := loadEmpty(t)
	var got seen
	m.Witness = &got

	put := func(index uint64, key, value string) layout.Batched {
		return layout.Batched{Index: index, Action: v2store.Set, Key: key, Put: true, Created: index, Modified: index, Value: &value}
	}
	tx := layout.Txn{Keys: "p", Meta: meta}
	tx.Batch([]layout.Batched{put(5, "/a", "1"), put(7, "/a", "2"), {Index: 8, Action: v2store.Delete, Key: "/a"},
		{Index: 9, Action: v2store.Create, Key: "/d", Dir: true, Put: true, Created: 9, Modified: 9}, put(9, "/d/b", "x"), put(10, "/a", "3")}, 1, "s.10")
	events := k.execute(tx.Success)
	rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	r, err := tx.Keys.Read(k.revision, events)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Apply(r); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`before 5: false ""`, `[/a] after 5: true "1"`, `before 7: true "1"`, `[/a] after 7: true "2"`,
		`before 8: true "2"`, `[/a] after 8: false ""`, `before 9: false ""`, `[/d /d/b] after 9: false ""`,
		`before 10: false ""`, `[/a] after 10: true "3"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("the witness has seen\n%q\nwant\n%q", got, want)
	}
	now := time.Unix(1e9, 0)
	if have, loaded := dump(m.Tree, now), dump(load(t, k, meta).Tree, now); have != loaded {
		t.Errorf("the mirror that was followed has\n%s\nand the one that was loaded\n%s", have, loaded)
	}
	if got := difference(m, k); got != "" {
		t.Errorf("the mirror differs: %s", got)
	}
}

func TestABatchThatDoesNotFitTheTreeIsAnError(t *testing.T) {
	k, meta, m := loadEmpty(t)
	tx := layout.Txn{Keys: "p", Meta: meta}
	tx.Batch([]layout.Batched{{Index: 5, Action: v2store.Delete, Key: "/missing"}}, 1, "s.5")
	r, err := tx.Keys.Read(k.revision+1, k.execute(tx.Success))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Apply(r); err == nil {
		t.Error("the removal of a node that the tree does not have was applied")
	}
}
