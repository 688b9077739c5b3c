package v2store_test

import (
	"fmt"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/v2store"
)

// The model test shows that these facts suffice. This shows that each write rests on no others,
// so that writes that do not disturb each other do not conflict.
func TestEachWriteRestsOnItsFactsAlone(t *testing.T) {
	tree := v2store.New(0)
	do(t, tree, epoch, "PUT", "/d/f", "value=1")
	do(t, tree, epoch, "PUT", "/d/e", "dir=true")
	for request, want := range map[string]string{
		"PUT /f value=1":                        "NoDir /f",
		"PUT /d/f value=1":                      "DirExists /d, NoDir /d/f",
		"PUT /d/x/y/z value=1":                  "Absent /d/x, DirExists /d, NoDir /d/x/y/z",
		"PUT /x/y/z value=1":                    "Absent /x, NoDir /x/y/z",
		"PUT /d/f dir=true":                     "DirExists /d, FileExists /d/f",
		"PUT /d/x dir=true":                     "DirExists /d, Absent /d/x",
		"PUT /d/f refresh=true&ttl=5":           "DirExists /d, FileExists /d/f",
		"PUT /d/x prevExist=false":              "DirExists /d, Absent /d/x",
		"PUT /x prevExist=false&dir=true":       "Absent /x",
		"POST /d value=1":                       "LastIndex 2, DirExists /d, Absent /d/00000000000000000003",
		"POST /x value=1":                       "LastIndex 2, Absent /x, Absent /x/00000000000000000003",
		"PUT /d/f prevExist=true&value=2":       "Recorded /d/f 1",
		"PUT /d/f prevValue=1&refresh=1&ttl=5":  "Recorded /d/f 1",
		"PUT /d/e prevExist=true&ttl=5":         "Recorded directory /d/e 2",
		"DELETE /d/f ":                          "FileExists /d/f",
		"DELETE /d/f recursive=true":            "FileExists /d/f",
		"DELETE /d/f prevIndex=1":               "Recorded /d/f 1",
		"DELETE /d/e dir=true":                  "DirExists /d/e, Empty /d/e",
		"DELETE /d recursive=true":              "DirExists /d",
		"DELETE /d/f prevValue=1&prevIndex=1":   "Recorded /d/f 1",
		"PUT /d/f prevIndex=1&dir=true&value=2": "Recorded /d/f 1",
	} {
		method, rest, _ := strings.Cut(request, " ")
		path, query, _ := strings.Cut(rest, " ")
		o, failure := v2store.Parse(&v2store.Request{Method: method, Path: path, Query: query}, epoch)
		if failure != nil {
			t.Fatalf("%s: %v", request, failure)
		}
		c, failure := v2store.Plan(o, tree, epoch)
		if failure != nil {
			t.Fatalf("%s: %v", request, failure)
		}
		var facts []string
		for _, f := range c.Facts {
			facts = append(facts, describe(f))
		}
		if got := strings.Join(facts, ", "); got != want {
			t.Errorf("%s rests on %s, want %s", request, got, want)
		}
	}
}

func describe(f v2store.Fact) string {
	words := []string{f.Kind.String()}
	if f.Dir {
		words = append(words, "directory")
	}
	if f.Key != "" {
		words = append(words, f.Key)
	}
	if f.Index != 0 {
		words = append(words, fmt.Sprint(f.Index))
	}
	return strings.Join(words, " ")
}

func TestANodeIsRecordedWithItsLastChangeAndTheRootIsNot(t *testing.T) {
	tree := v2store.New(0)
	do(t, tree, epoch, "PUT", "/d/f", "value=1")
	do(t, tree, epoch, "PUT", "/d/f", "value=2")
	for key, want := range map[string]struct {
		index      uint64
		dir, found bool
	}{"/d/f": {2, false, true}, "/d": {1, true, true}, "": {}, "/": {}, "/x": {}, "/d/x": {}, "/d/f/x": {}} {
		if index, dir, found := tree.Recorded(key); index != want.index || dir != want.dir || found != want.found {
			t.Errorf("%q: got the index %d, a directory %t and found %t; want %+v", key, index, dir, found, want)
		}
	}
}
