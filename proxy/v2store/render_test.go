package v2store_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/v2store"
)

// compareRendered compares rendered answers, kept ones among them, with those that are made anew.
func (m *model) compareRendered(q *v2store.Request) {
	for _, key := range []string{"", "/a", strings.TrimRight(q.Path, "/")} {
		for _, recursive := range []bool{true, false} {
			compareRendered(m, m.tree, &v2store.Operation{Action: v2store.Get, Key: key, Recursive: recursive}, m.now)
		}
	}
}

// failing is a test or a run of rapid.
type failing interface {
	Helper()
	Fatalf(format string, args ...any)
}

func compareRendered(t failing, tree *v2store.Tree, o *v2store.Operation, now time.Time) {
	t.Helper()
	var want v2store.Answer
	if e, failure := tree.Get(o, now); failure != nil {
		want = failure.Answer()
	} else {
		want = e.Answer(o)
	}
	got := tree.Answer(o, now)
	if got.Large != nil {
		got.Body, got.Large = got.Large.Body(), nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("reading %q, recursive %v: got %d %d %s\nwant %d %d %s", o.Key, o.Recursive, got.Status, got.Index, got.Body, want.Status, want.Index, want.Body)
	}
	if want.Status != 200 || len(want.Body) > 1<<20 {
		return
	}
	whole, pieces := v2store.RenderLarge(tree, o, now)
	if string(whole) != string(want.Body) || string(pieces) != string(want.Body) {
		t.Fatalf("reading %q, recursive %v: a large answer is %s, and in pieces %s\nwant %s", o.Key, o.Recursive, whole, pieces, want.Body)
	}
	if got := tree.Size(o); len(want.Body) > got {
		t.Fatalf("reading %q, recursive %v: the size is %d, but the answer has %d bytes: %s", o.Key, o.Recursive, got, len(want.Body), want.Body)
	}
}

// TestARenderedAnswerIsThatOfGet has every kind of change below a directory, and strings that JSON
// escapes.
func TestARenderedAnswerIsThatOfGet(t *testing.T) {
	tree := v2store.New(7)
	now := epoch
	check := func() {
		t.Helper()
		for _, key := range []string{"", "/d", "/d/e", "/d/e/f", "/d/_h", "/d/none", "/d/<&>\"é\u2028"} {
			for _, recursive := range []bool{true, false, true} {
				compareRendered(t, tree, &v2store.Operation{Action: v2store.Get, Key: key, Recursive: recursive}, now)
			}
		}
	}
	check()
	for _, step := range [][3]string{
		{"PUT", "/d/e/f", "value=1"}, {"PUT", "/d/e/f", "value=2"}, {"PUT", "/d/e/f", "value=%00%01%7f%ff%3c%26%3e%22%5c%e2%80%a8%c3%a9&prevExist=true"},
		{"PUT", "/d/_h", "value=1"}, {"PUT", "/d/<&>\"é\u2028", "dir=true"}, {"PUT", "/d/e", "dir=true&prevExist=true&ttl=5"},
		{"PUT", "/d/e", "dir=true&prevExist=true"}, {"PUT", "/d/e/f", "ttl=2&refresh=true&prevExist=true"}, {"PUT", "/d/e/a", "value=0"},
		{"PUT", "/d/e/f", "dir=true"}, {"DELETE", "/d/e/a", ""}, {"DELETE", "/d/e", "recursive=true"}, {"DELETE", "/d/_h", ""},
		{"DELETE", "/d", "recursive=true"},
	} {
		do(t, tree, now, step[0], step[1], step[2])
		check()
		now = now.Add(time.Second)
		check()
	}
}

// TestKeptAnswersAreBounded keeps more bodies than there is room for, and one that is too large.
func TestKeptAnswersAreBounded(t *testing.T) {
	tree := v2store.New(0)
	for i := range 50 {
		key := fmt.Sprintf("/d%02d", i)
		for _, err := range []error{tree.Load(v2store.Record{Key: key, Dir: true}), tree.Load(v2store.Record{Key: key + "/f", Value: strings.Repeat("x", 1<<20)})} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 {
		for i := range 50 {
			compareRendered(t, tree, &v2store.Operation{Action: v2store.Get, Key: fmt.Sprintf("/d%02d", i)}, epoch)
		}
		compareRendered(t, tree, &v2store.Operation{Action: v2store.Get, Recursive: true}, epoch)
	}
	if got := tree.Bytes(); got > 50<<20+34<<20 {
		t.Errorf("the tree needs %d bytes, want at most those of its values and 32 MiB", got)
	}
}

func BenchmarkReadOfADirectory(b *testing.B) {
	tree := v2store.New(0)
	_ = tree.Load(v2store.Record{Key: "/d", Dir: true})
	for i := range 500 {
		_ = tree.Load(v2store.Record{Key: fmt.Sprintf("/d/file-%03d", i), Value: "a value of forty bytes, as many files have"})
	}
	o := &v2store.Operation{Action: v2store.Get, Key: "/d", Recursive: true}
	b.Run("kept", func(b *testing.B) {
		for b.Loop() {
			tree.Answer(o, epoch)
		}
	})
	b.Run("changed", func(b *testing.B) {
		c := &v2store.Change{Action: v2store.Update, Key: "/d/file-007", Put: &v2store.Record{Key: "/d/file-007", Value: "x"}}
		for b.Loop() {
			if _, err := tree.Apply(c, tree.Index()+1); err != nil {
				b.Fatal(err)
			}
			tree.Answer(o, epoch)
		}
	})
	b.Run("encoded", func(b *testing.B) {
		for b.Loop() {
			e, _ := tree.Get(o, epoch)
			e.Answer(o)
		}
	})
}
