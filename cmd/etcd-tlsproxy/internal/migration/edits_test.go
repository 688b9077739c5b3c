package migration

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/v2store"
)

func file(key, value string, expires ...int64) v2store.Record {
	r := v2store.Record{Key: key, Value: value}
	for _, at := range expires {
		r.Expires = at
	}
	return r
}

func dir(key string, expires ...int64) v2store.Record {
	r := file(key, "", expires...)
	r.Dir = true
	return r
}

func TestEditsMakeOneTreeOfAnother(t *testing.T) {
	t.Parallel()
	later := time.Now().Add(time.Hour).UnixNano()
	type tree = []v2store.Record
	for name, c := range map[string]struct {
		from, to            tree
		remove, dirs, files []string
	}{
		"equal trees":                     {tree{dir("/a"), file("/a/b", "1", later)}, tree{dir("/a"), file("/a/b", "1", later+int64(time.Second))}, nil, nil, nil},
		"what is new":                     {nil, tree{file("/a/b/c", "1"), dir("/a/b"), dir("/a")}, nil, []string{"/a", "/a/b"}, []string{"/a/b/c"}},
		"what is gone, and all below":     {tree{dir("/a"), dir("/a/b"), file("/a/b/c", "1"), file("/d", "2")}, nil, []string{"/a/b/c", "/d", "/a/b", "/a"}, nil, nil},
		"another value":                   {tree{file("/a", "1")}, tree{file("/a", "2")}, nil, nil, []string{"/a"}},
		"a value that may be another":     {tree{file("/a", "\uFFFD")}, tree{file("/a", "\uFFFD")}, nil, nil, []string{"/a"}},
		"another expiry":                  {tree{file("/a", "1", later)}, tree{file("/a", "1")}, nil, nil, []string{"/a"}},
		"a file that became a directory":  {tree{file("/a", "1")}, tree{dir("/a"), file("/a/b", "1")}, []string{"/a"}, []string{"/a"}, []string{"/a/b"}},
		"a directory that became a file":  {tree{dir("/a"), file("/a/b", "1")}, tree{file("/a", "1")}, []string{"/a/b", "/a"}, nil, []string{"/a"}},
		"a directory with another expiry": {tree{dir("/a"), dir("/a/c"), file("/a/b", "1")}, tree{dir("/a", later), dir("/a/c"), file("/a/b", "1")}, []string{"/a/b", "/a/c", "/a"}, []string{"/a", "/a/c"}, []string{"/a/b"}},
	} {
		e := edit(c.from, c.to, surelySame)
		for i, list := range [][]v2store.Record{e.remove, e.dirs, e.files} {
			var got []string
			for _, r := range list {
				got = append(got, r.Key)
			}
			if want := [][]string{c.remove, c.dirs, c.files}[i]; !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q, of what is removed, of directories and of files", name, fmt.Sprint(i, got), fmt.Sprint(i, want))
			}
		}
	}
}

// TestNothingIsWrittenBelowADirectoryThatHasExpired has a directory that the v2 API would make anew for it.
func TestNothingIsWrittenBelowADirectoryThatHasExpired(t *testing.T) {
	t.Parallel()
	past := time.Now().Add(-time.Second).UnixNano()
	list := []v2store.Record{dir("/a", past), dir("/a/b"), file("/a/b/c", "1"), file("/d", "2", past), file("/e", "3")}
	left := living(list, time.Now())
	if len(left) != 1 || left[0].Key != "/e" {
		t.Errorf("got %v, want only /e", left)
	}
	e := edit(nil, list, surelySame)
	w := &v2writer{now: time.Now} // whose use would panic
	for _, r := range list[:4] {
		put := w.putFile
		if r.Dir {
			put = w.putDir
		}
		if err := put(t.Context(), e, &r); err != nil {
			t.Errorf("%s: got %v, want that nothing is written", r.Key, err)
		}
	}
}
