package layout_test

import (
	"bytes"
	"testing"

	"etcd-tlsproxy/proxy/v2v3/layout"
)

func FuzzEachKeyIsParsedBack(f *testing.F) {
	f.Add("", "/a/b", "x")
	f.Add("trees/1", "/_h", "0")
	f.Add("/p", "/\xff", "/")
	f.Fuzz(func(t *testing.T, prefix, key, other string) {
		if len(key) < 2 || key[0] != '/' {
			t.Skip("keys of v2 begin with a slash and have a name behind it; the root is the empty key")
		}
		k := layout.Keys(prefix)
		start, end := k.Range()
		for kind, raw := range map[layout.Kind][]byte{layout.Data: k.Data(key), layout.File: k.File(key), layout.Dir: k.Dir(key),
			layout.Queue: k.Queue(key), layout.Session: k.Session(key)} {
			if gotKind, got := k.Parse(raw); gotKind != kind || got != key {
				t.Errorf("%q is parsed as kind %d, %q, want %d, %q", raw, gotKind, got, kind, key)
			}
			if bytes.Compare(raw, start) < 0 || bytes.Compare(raw, end) >= 0 {
				t.Errorf("%q is outside the range from %q to %q", raw, start, end)
			}
		}
		// Whatever is in the range and is not recognized is foreign, and never a node of another key.
		if kind, got := k.Parse([]byte(prefix + other)); kind == layout.Data && string(k.Data(got)) != prefix+other {
			t.Errorf("%q is parsed as the value of %q", prefix+other, got)
		}
		below, endBelow := layout.Below(k.File(key))
		for _, name := range []string{"", "x", "\xff", other} {
			raw := k.File(key + "/" + name)
			if bytes.Compare(raw, below) < 0 || bytes.Compare(raw, endBelow) >= 0 {
				t.Errorf("%q is not in the range below %q", raw, key)
			}
			if raw = k.File(key + name); name != "" && name[0] != '/' && bytes.Compare(raw, below) >= 0 && bytes.Compare(raw, endBelow) < 0 {
				t.Errorf("%q is in the range below %q", raw, key)
			}
		}
	})
}

func TestTheKeysOfTheTreeHaveTheirKind(t *testing.T) {
	k := layout.Keys("p")
	for want, raw := range map[layout.Kind][]byte{layout.Log: k.Log(), layout.Stored: k.Meta(), layout.Keeper: k.Keeper(), layout.Lock: k.Lock(),
		layout.Queue: k.Queue("")} {
		if got, name := k.Parse(raw); got != want || name != "" {
			t.Errorf("%q is parsed as kind %d, %q, want %d", raw, got, name, want)
		}
	}
	for _, raw := range []string{"", "p", "p0", "q/a", "p.v2", "p.v2/", "p.v2/x", "p.v2/f", "p.v2/fa", "p.v2/fab", "px", "p.v2/x/a", "p.v2/xyz/a", "p.v2/logs",
		// without the prefix, or without what is between it and the kind
		"/a", ".v2/log", ".v2/f/a", "x/a", "xp/a", "plog", "pmeta", "pq", "ps/1", "pf/a", "pd/a", "p.v2log", "pv2/log"} {
		if got, name := k.Parse([]byte(raw)); got != layout.Foreign {
			t.Errorf("%q is parsed as kind %d, %q, want that it is foreign", raw, got, name)
		}
	}
	if got := string(layout.End(k.Session(""))); got != "p.v2/s0" {
		t.Errorf("the sessions end before %q, want p.v2/s0", got)
	}
}
