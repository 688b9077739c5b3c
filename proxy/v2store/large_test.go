package v2store

import (
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// fill returns a tree with large values, of which JSON makes six times the bytes.
func fill(t *testing.T, values int) *Tree {
	t.Helper()
	tree := New(0)
	for i := range values {
		write(t, tree, "PUT", "/d/"+strconv.Itoa(i), "value="+strings.Repeat("%01", 100_000))
	}
	return tree
}

func TestALargeAnswerIsNotRenderedWhileTheTreeMustNotChange(t *testing.T) {
	tree := fill(t, 50)
	o := &Operation{Action: Get, Recursive: true}
	before := live()
	large := tree.Answer(o, start).Large
	half, err := io.CopyN(io.Discard, large, 15_000_000)
	if err != nil {
		t.Fatal(err)
	}
	if held := live() - before; held > 1<<20 {
		t.Errorf("in the middle of the answer: got %d bytes more in use, want only those of some pieces", held)
	}
	rest, err := io.Copy(io.Discard, large)
	if n := half + rest; err != nil || n < 30_000_000 || n > int64(tree.Size(o)) {
		t.Errorf("got %d bytes and error %v, want at most the %d that were expected", n, err, tree.Size(o))
	}
}

// live returns the bytes that are in use.
func live() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestALargeAnswerShowsTheTreeOfItsMoment(t *testing.T) {
	tree := fill(t, 3)
	o := &Operation{Action: Get, Key: "/d"}
	want := string(tree.Answer(o, start).Large.Body())
	large := tree.Answer(o, start).Large
	first := make([]byte, 100)
	if _, err := io.ReadFull(large, first); err != nil {
		t.Fatal(err)
	}
	write(t, tree, "PUT", "/d/0", "value=1&prevExist=true")
	write(t, tree, "PUT", "/d/1", "dir=true")
	write(t, tree, "DELETE", "/d", "recursive=true")
	rest, err := io.ReadAll(large)
	if got := string(first) + string(rest); err != nil || got != want {
		t.Errorf("a tree that changes while it is read: got %d bytes and error %v, want the %d bytes of before", len(got), err, len(want))
	}
}

func TestAWholeLargeBodyIsKeptUnlessSomethingHasChanged(t *testing.T) {
	tree := fill(t, 3)
	o := &Operation{Action: Get, Key: "/d", Recursive: true}
	late := tree.Answer(o, start).Large
	write(t, tree, "PUT", "/d/0", "value=1&prevExist=true")
	late.Keep(late.Body())
	again := tree.Answer(o, start).Large
	if again == nil {
		t.Fatal("a body from before a change was kept")
	}
	body := again.Body()
	again.Keep(body)
	if got := tree.Answer(o, start); got.Large != nil || &got.Body[0] != &body[0] {
		t.Error("a body was not kept although nothing has changed")
	}
}

func TestAValueIsCutBetweenCharacters(t *testing.T) {
	for _, value := range []string{"\u2028", "é", "x\U0001f600", "xx\U0001f600", "xxx\U0001f600", "\xf0\x9f", "\x80", "x\xff\x80\x80\x80\x80"} {
		tree := New(0)
		value = strings.Repeat(value, 5000)
		if err := tree.Load(Record{Key: "/a", Value: value, Recorded: 1}); err != nil {
			t.Fatal(err)
		}
		o := &Operation{Action: Get, Key: "/a"}
		e, _ := tree.Get(o, start)
		n, _ := tree.find("/a")
		got, want := tree.newLarge(n, false, start).Body(), e.Answer(o).Body
		if string(got) != string(want) {
			t.Errorf("a value of %.10q again and again: it is not rendered like a whole one", value)
		}
		if size := tree.Size(o); size < len(want) || size > len(want)+300 {
			t.Errorf("a value of %.10q again and again: got the size %d, want about %d", value, size, len(want))
		}
	}
}
