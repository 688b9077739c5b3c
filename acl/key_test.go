package acl

import (
	"errors"
	"testing"
)

func TestKeysThatWouldKillEtcdAreReserved(t *testing.T) {
	for key, want := range map[Key]bool{
		"/0/members/1/attributes":                              true,
		"/eventlogging/0/members/1/attributes":                 true,
		"/a/b/c/0/members/deadBEEF01234567/attributes":         true,
		"/a/0/members/1/attributesX":                           true,
		"/a/0/members/1/attributes/y":                          true,
		"/a/0/members/1/attribute":                             false,
		"/a/0/members/g/attributes":                            false,
		"/a/0/members//attributes":                             false,
		"/a/10/members/1/attributes":                           false,
		"/a/0/members/12345678901234567/attributes":            false,
		"/a/0/members/x/0/members/1/attributes":                true,
		"/a/0/members/1/raftAttributes":                        false,
		"/conftool/v1/pools/eqiad/0/members/of/the/attributes": false,
		"/": false,
	} {
		if got := key.Reserved(); got != want {
			t.Errorf("Reserved of %s: got %t, want %t", string(key), got, want)
		}
	}
}

func TestTheDepthOfAKeyIsItsNumberOfSegments(t *testing.T) {
	for key, want := range map[Key]int{"/": 0, "/a": 1, "/a/b": 2, "/a b/c/d": 3} {
		if got := key.Depth(); got != want {
			t.Errorf("Depth of %s: got %d, want %d", string(key), got, want)
		}
	}
}

func TestAPrefixCoversWholeSegments(t *testing.T) {
	for _, c := range []struct {
		prefix, key Key
		want        bool
	}{
		{"/", "/", true}, {"/", "/a", true}, {"/conftool", "/conftool", true}, {"/conftool", "/conftool/v1", true},
		{"/conftool", "/conftoolX", false}, {"/conftool", "/conf", false}, {"/conftool/v1", "/conftool", false},
	} {
		if got := c.prefix.Covers(c.key); got != c.want {
			t.Errorf("%v covers %v: got %t, want %t", c.prefix, c.key, got, c.want)
		}
	}
}

func TestAKeyWrittenByAPersonIsNotMended(t *testing.T) {
	for _, s := range []string{"", "a", "/a/", "//", "/a//b", "/a/../b", "/.", "/a\nb", `/a\b`, "/\xff", "/a\x7f"} {
		var refused *PathError
		if _, err := NewKey(s); !errors.As(err, &refused) {
			t.Errorf("NewKey(%q): got the error %v, want a *PathError", s, err)
		}
	}
	for _, s := range []string{"/", "/a", "/a b", "/a%2fb", "/é", "/a#b", "/..."} {
		if k, err := NewKey(s); err != nil || string(k) != s {
			t.Errorf("NewKey(%q): got %q, %v; want the key unchanged", s, string(k), err)
		}
	}
}

func TestAKeyIsShownWithoutConfusingATerminal(t *testing.T) {
	for key, want := range map[Key]string{"/a/b": "/a/b", "/a b": `"/a b"`, "/\u202ex": `"/\u202ex"`, `/"`: `"/\""`, "/a!b": "/a!b", "/\x7f": `"/\x7f"`, "/\u0080": `"/\u0080"`} {
		if got := key.String(); got != want {
			t.Errorf("String of %q: got %s, want %s", string(key), got, want)
		}
	}
}
