package v2store

import (
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// write performs a write at the next index.
func write(t *testing.T, tree *Tree, method, path, query string) *Event {
	t.Helper()
	o, failure := Parse(&Request{Method: method, Path: path, Query: query}, start)
	if failure != nil {
		t.Fatal(failure)
	}
	c, failure := Plan(o, tree, start)
	if failure != nil {
		t.Fatal(failure)
	}
	e, err := tree.Apply(c, tree.Index()+1)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// isKept reports whether two reads of a directory get the same body.
func isKept(t *testing.T, tree *Tree, key string, recursive bool) bool {
	t.Helper()
	o := &Operation{Action: Get, Key: key, Recursive: recursive}
	first, second := tree.Answer(o, start), tree.Answer(o, start)
	if string(first.Body) != string(second.Body) {
		t.Errorf("reading %q twice: got %s and %s, want the same", key, first.Body, second.Body)
	}
	return &first.Body[0] == &second.Body[0]
}

func TestTheBodyAboutADirectoryIsKeptUntilSomethingInItChanges(t *testing.T) {
	tree := New(0)
	write(t, tree, "PUT", "/d/e/f", "value=1")
	write(t, tree, "PUT", "/x/y", "value=1")
	body := func(key string, recursive bool) *byte {
		return &tree.Answer(&Operation{Action: Get, Key: key, Recursive: recursive}, start).Body[0]
	}
	for _, step := range [][3]string{
		{"PUT", "/d/e/f", "value=2"}, {"PUT", "/d/e/f", "value=3&prevExist=true"}, {"PUT", "/d/e/g", "value=1"}, {"DELETE", "/d/e/g", ""}, {"PUT", "/d/e/h", "dir=true"},
	} {
		var before [4]*byte
		for i, key := range []string{"/d", "/d/e", "", "/x"} {
			if !isKept(t, tree, key, false) || !isKept(t, tree, key, true) {
				t.Errorf("reads of %q before %v: got a body for each, want it kept", key, step)
			}
			before[i] = body(key, true)
		}
		plain := body("/d", false)
		write(t, tree, step[0], step[1], step[2])
		if body("/d", true) == before[0] || body("/d", false) == plain || body("/d/e", true) == before[1] || body("", true) == before[2] {
			t.Errorf("a read above the change %v: got the body from before it, want another", step)
		}
		if body("/x", true) != before[3] {
			t.Errorf("a read beside the change %v: got another body, want that from before it", step)
		}
	}
}

// It shows the remaining time.
func TestTheBodyAboutWhatExpiresIsNotKept(t *testing.T) {
	tree := New(0)
	write(t, tree, "PUT", "/d/f", "value=1&ttl=9")
	for _, recursive := range []bool{false, true} {
		if isKept(t, tree, "/d", recursive) {
			t.Errorf("a directory with a file that expires, recursive %t: got a body that is kept, want none", recursive)
		}
	}
	if !isKept(t, tree, "", false) || isKept(t, tree, "", true) {
		t.Error("the directory above: want the body kept only where it does not show the file")
	}
	if got := tree.kept.size(); got != len(tree.Answer(&Operation{Action: Get}, start).Body) {
		t.Errorf("bytes that are kept: got %d, want those of one body", got)
	}
}

func TestKeptBodiesMakeRoomForANewOneAllAtOnce(t *testing.T) {
	tree := New(0)
	dirs := make([]*node, 6)
	for i := range dirs {
		key := "/" + strings.Repeat("d", i+1)
		write(t, tree, "PUT", key, "dir=true")
		dirs[i], _ = tree.find(key)
	}
	const most = 32 << 20
	k := &tree.kept
	keep := func(n *node, bytes int) bool {
		for i := range n.contents.bodies {
			n.contents.bodies[i].Store(&[]byte{'x'})
		}
		return k.add(n, bytes)
	}
	for i, want := range []int{8 << 20, 16 << 20, 24 << 20, most, 5 << 20} {
		bytes := 8 << 20
		if i == 4 {
			bytes = 5 << 20
		}
		if !keep(dirs[i], bytes) || k.size() != want {
			t.Errorf("keeping body %d: got %d bytes kept, want %d", i+1, k.size(), want)
		}
	}
	for i := range 4 {
		if dirs[i].contents.bodies[0].Load() != nil || dirs[i].contents.bodies[1].Load() != nil {
			t.Errorf("the bodies of directory %d: got them kept, want none when there was no room for another", i+1)
		}
	}
	if len(k.dirs) != 1 || k.dirs[0] != dirs[4] {
		t.Errorf("directories whose bodies are kept: got %d, want the last one alone", len(k.dirs))
	}
	if k.add(dirs[5], 8<<20+1) || k.size() != 5<<20 || len(k.dirs) != 1 {
		t.Errorf("a body of more than a quarter of the room: got it kept with %d bytes, want it left out", k.size())
	}
}

func TestTheMemoryOfATreeIsThatOfItsNodesAndItsKeptBodies(t *testing.T) {
	tree := New(0)
	write(t, tree, "PUT", "/d/file", "value=12345")
	const nodes = len("/d") + 200 + len("/d/file") + len("12345") + 200
	if got := tree.Bytes(); got != nodes {
		t.Errorf("two nodes: got %d bytes, want %d", got, nodes)
	}
	body := tree.Answer(&Operation{Action: Get, Key: "/d"}, start).Body
	tree.Answer(&Operation{Action: Get, Key: "/d/file"}, start) // is not kept
	if got := tree.Bytes(); got != nodes+len(body) {
		t.Errorf("with a body that is kept: got %d bytes, want %d", got, nodes+len(body))
	}
}

// Keys and values may be longer than what is expected of an answer.
func TestAnAnswerAboutALongKeyOrValueIsComplete(t *testing.T) {
	for _, c := range [][2]string{{"k", "v"}, {strings.Repeat("k", 1000), "v"}, {"k", strings.Repeat("v", 1000)}, {strings.Repeat("k", 1000), strings.Repeat("v", 100)}} {
		tree := New(0)
		write(t, tree, "PUT", "/"+c[0], "value="+c[1])
		want := `{"action":"get","node":{"key":"/` + c[0] + `","value":"` + c[1] + `","modifiedIndex":1,"createdIndex":1}}` + "\n"
		if got := string(tree.Answer(&Operation{Action: Get, Key: "/" + c[0]}, start).Body); got != want {
			t.Errorf("a key of %d and a value of %d bytes: got %s, want %s", len(c[0]), len(c[1]), got, want)
		}
	}
}
