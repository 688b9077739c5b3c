package keydump

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
)

const (
	header = `{"etcdTlsproxyDump":1,"prefix":"/a","clusterId":"cdf818194e3a8c32","index":12,"taken":"2026-01-02T03:04:05Z","entries":2}`
	dir    = `{"key":"/a","dir":true,"createdIndex":4,"modifiedIndex":4}`
	leaf   = `{"key":"/a/b","value":"1","expiration":"2026-01-02T03:05:05.25Z","createdIndex":5,"modifiedIndex":6}`
)

func TestADumpReadsAsItWasWritten(t *testing.T) {
	text := strings.Join([]string{header, dir, leaf, ""}, "\n")
	dump, err := Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := dump.Write(&again); err != nil || again.String() != text {
		t.Errorf("written again: got\n%s(%v), want\n%s", again.String(), err, text)
	}
	// The order of the lines does not matter, because parents are sorted first.
	turned, err := Parse("f", []byte(strings.Join([]string{header, leaf, dir}, "\n")))
	if err != nil || !reflect.DeepEqual(turned, dump) {
		t.Errorf("with children first: got %+v (%v), want %+v", turned, err, dump)
	}
}

func TestWhatIsNoDumpIsRefusedWithItsLine(t *testing.T) {
	refused := func(want string, lines ...string) {
		t.Helper()
		_, err := Parse("f", []byte(strings.Join(lines, "\n")))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("parsing %q: got %v, want %q and no value", lines, err, want)
		}
	}
	refused("f:1: the line is not a valid header of a dump: it is not a JSON object")
	refused("f:1: the line is not a valid header of a dump: field etcdTlsproxyDump is missing", `{"prefix":"/a"}`)
	refused("the format is 2", strings.Replace(header, `Dump":1`, `Dump":2`, 1))
	refused("clusterId and index must", strings.Replace(header, "cdf818194e3a8c32", "", 1), dir, leaf)
	refused("clusterId and index must", strings.Replace(header, `"index":12`, `"index":0`, 1), dir, leaf)
	refused("prefix: path refused: it ends with a slash", strings.Replace(header, `"/a"`, `"/a/"`, 1), dir, leaf)
	refused("f:2: the dump has 1 entries instead of 2", header, dir)
	refused("f:4: the dump has 3 entries instead of 2", header, dir, leaf, `{"key":"/a/c","value":""}`)
	refused("f:3: it is not a JSON object", header, dir, "", "")
	refused("f:3: it is not a JSON object", header, dir, "[1]")
	refused("f:3: it is not a JSON object", header, dir, `{secret`)
	refused("f:3: it is not a JSON object", header, dir, `{"key":"/a/b",secret`)
	refused("f:3: field value: it is not valid JSON", header, dir, `{"key":"/a/b","value":"secret`)
	refused("f:3: the object is not complete", header, dir, `{"key":"/a/b","value":"secret"`)
	refused("f:3: there is text after the object", header, dir, leaf+"{}")
	refused(`f:3: unknown field "Value"`, header, dir, `{"key":"/a/b","Value":"secret"}`)
	refused("f:3: field value is given twice", header, dir, `{"key":"/a/b","value":"secret","value":"secret"}`)
	refused("f:3: field value has the wrong type", header, dir, `{"key":"/a/b","value":1}`)
	refused("f:3: field value has the wrong type", header, dir, `{"key":"/a/b","value":null}`)
	refused("f:3: field modifiedIndex has the wrong type", header, dir, `{"key":"/a/b","value":"","modifiedIndex":-1}`)
	refused("f:3: field expiration has the wrong type", header, dir, `{"key":"/a/b","value":"","expiration":"tomorrow"}`)
	refused("f:3: field value: it contains half of a surrogate pair", header, dir, `{"key":"/a/b","value":"secret\ud800"}`)
	refused("f:3: field value has the wrong type", header, dir, "{\"key\":\"/a/b\",\"value\":\"secret\xff\"}")
	refused("f:3: field key is missing", header, dir, `{"value":"secret"}`)
	refused("f:3: key: path refused: it contains a . or .. segment", header, dir, `{"key":"/a/../b","value":"secret"}`)
	refused("f:3: /b is not below the dump's prefix, /a", header, dir, `{"key":"/b","value":"secret"}`)
	refused("f:3: / is not below the dump's prefix, /", strings.Replace(header, `"/a"`, `"/"`, 1), dir, `{"key":"/","dir":true}`)
	refused("f:3: /a is already in line 2", header, dir, dir)
	refused("f:3: /a/b must either have a value or be a directory", header, dir, `{"key":"/a/b"}`)
	refused("f:3: /a/b must either have a value or be a directory", header, dir, `{"key":"/a/b","dir":true,"value":"secret"}`)
	refused("f:3: /a/b is below /a, which is not a directory according to line 2", header, `{"key":"/a","value":"secret"}`, leaf)
	refused("f:3: /a/0/members/1/attributes cannot be written", header, dir, `{"key":"/a/0/members/1/attributes","value":"secret"}`)
	refused("f:3: /a/0/members/1/attributes/b cannot be written", header, dir, `{"key":"/a/0/members\u002f1/attributes/b","dir":true}`)
	refused("f:2: /a/d/d", header, `{"key":"/a`+strings.Repeat("/d", acl.MaxDepth)+`","dir":true}`, leaf)
	refused("has 101 segments, but at most 100 can be written", header, `{"key":"/a`+strings.Repeat("/d", acl.MaxDepth)+`","value":"secret"}`, leaf)
	// Every problem is reported.
	refused("f:2: it is not a JSON object\nf:3: it is not a JSON object", header, "x", "y")
}

func TestATreeMovesToAnotherPrefix(t *testing.T) {
	moved := func(from, to acl.Key, want ...acl.Key) {
		t.Helper()
		dump, err := Parse("f", []byte(strings.Join([]string{header, dir, leaf}, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		err = dump.Move(from, to)
		if len(want) == 0 {
			if err == nil {
				t.Errorf("moving %v to %v: got %+v, want an error", from, to, dump)
			}
			return
		}
		if got := []acl.Key{dump.Prefix, dump.Tree[0].Key, dump.Tree[1].Key}; err != nil || !reflect.DeepEqual(got, want) || dump.ClusterID != "" {
			t.Errorf("moving %v to %v: got %v of cluster %q (%v), want %v of no cluster", from, to, got, dump.ClusterID, err, want)
		}
	}
	moved("/a", "/x/y", "/x/y", "/x/y", "/x/y/b")
	moved("/", "/x", "/x/a", "/x/a", "/x/a/b")
	moved("/", "/", "/a", "/a", "/a/b")
	moved("/a", "/")   // the root is not a key
	moved("/a/b", "/") // some keys are not below it
	moved("/a", "/0/members/1/attributes")
	deepest := acl.Key(strings.Repeat("/d", acl.MaxDepth-1))
	moved("/a", deepest, deepest, deepest, deepest+"/b")
	moved("/a", deepest+"/d")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(strings.Join([]string{header, dir, leaf, ""}, "\n")))
	f.Add([]byte(header + "\n" + dir + "\n" + `{"key":"/a/\ud83d\ude00","value":"\ufffd"}`))
	f.Add([]byte(header + "\n" + dir + "\n" + `{"key":"/a/0/members/1/attributes","value":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		dump, err := Parse("f", data)
		if err != nil {
			return
		}
		for _, e := range dump.Tree {
			if key, err := acl.NewKey(string(e.Key)); err != nil || key.Reserved() || !dump.Prefix.Covers(key) || e.Dir == (e.Value != nil) {
				t.Fatalf("parsed the invalid entry %+v", e)
			}
		}
		var written bytes.Buffer
		if err := dump.Write(&written); err != nil {
			t.Fatal(err) // for example a year that JSON cannot express
		}
		again, err := Parse("f", written.Bytes())
		if err != nil {
			t.Fatalf("parsing what was written: %v:\n%s", err, written.Bytes())
		}
		var twice bytes.Buffer
		if err := again.Write(&twice); err != nil || !bytes.Equal(twice.Bytes(), written.Bytes()) {
			t.Fatalf("written twice: got (%v)\n%s\nwant\n%s", err, twice.Bytes(), written.Bytes())
		}
	})
}

func TestAFileThatIsNoDumpHasOneProblem(t *testing.T) {
	for _, data := range []string{"", "x", "x\ny\nz\n", "{}\n{\"key\":\"/a\",\"value\":\"1\"}\n", "root:x:0:0\nother:y:1:1\n"} {
		_, err := Parse("file", []byte(data))
		if err == nil || strings.Count(err.Error(), "file:") != 1 || !strings.HasPrefix(err.Error(), "file:1: the line is not a valid header of a dump") {
			t.Errorf("%q: got the error %v, want only that line 1 is no header", data, err)
		}
	}
}
