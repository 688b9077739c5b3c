package acl

import (
	"net/url"
	"path"
	"strings"
	"testing"
)

func TestPathsClientsSendAreFoldedIntoOneForm(t *testing.T) {
	fold := func(raw, decoded, escaped string) {
		t.Helper()
		p, err := ParsePath(raw)
		if err != nil || p.Decoded != decoded || p.Escaped != escaped {
			t.Errorf("ParsePath(%q) = %q %q, %v; want %q %q", raw, p.Decoded, p.Escaped, err, decoded, escaped)
		}
	}
	fold("/", "/", "/")
	fold("//", "/", "/")
	fold("/v2/keys/", "/v2/keys", "/v2/keys")
	fold("/v2/keys/conftool/v1/mediawiki-config/", "/v2/keys/conftool/v1/mediawiki-config", "/v2/keys/conftool/v1/mediawiki-config")
	fold("//v2///keys//a//", "/v2/keys/a", "/v2/keys/a")
	fold("/a%3ab", "/a:b", "/a:b")
	fold("/a%2bb+c", "/a+b+c", "/a+b+c")
	fold("/%63onftool", "/conftool", "/conftool")
	fold("/%76%32/keys", "/v2/keys", "/v2/keys")
	fold("/a%20b", "/a b", "/a%20b")
	fold("/a%3fb%23c%25d%22", `/a?b#c%d"`, "/a%3Fb%23c%25d%22")
	fold("/%252F%252e", "/%2F%2e", "/%252F%252e")
	fold("/caf%c3%a9", "/café", "/caf%C3%A9")
	fold("/café", "/café", "/caf%C3%A9")
	fold("/..;/a;b=c", "/..;/a;b=c", "/..;/a;b=c")
	fold("/.../.a/a./%2ea", "/.../.a/a./.a", "/.../.a/a./.a")
	fold("/_hidden/x", "/_hidden/x", "/_hidden/x")
	fold("/a{b}|c^`<>\"", "/a{b}|c^`<>\"", "/a%7Bb%7D%7Cc%5E%60%3C%3E%22")
}

func TestPathsThatTwoReadersCouldReadDifferentlyAreRefused(t *testing.T) {
	refuse := func(want *PathError, raws ...string) {
		t.Helper()
		for _, raw := range raws {
			if p, err := ParsePath(raw); err != want {
				t.Errorf("ParsePath(%q) = %q, %v; want %v", raw, p.Decoded, err, want)
			}
		}
	}
	refuse(errRelative, "", "a", "*", "v2/keys", "%2fa")
	refuse(errEscape, "/%", "/a%2", "/%zz", "/%u002f", "/%%", "/a%0")
	refuse(errControl, "/a b", "/\x00", "/a\tb", "/a\x7f", "/%00", "/%09", "/%0a", "/%0d", "/%1F", "/%7f", "/a ")
	refuse(errSlash, "/a%2fb", "/v2%2Fkeys/a", "/v2/keys%2Fa", "/..%2f0", "/%2f")
	refuse(errBackslash, `/a\b`, "/a%5cb", `/..\a`)
	refuse(errDots, "/.", "/..", "/a/./b", "/a/../b", "/a/..", "/%2e", "/%2e%2e/0", "/.%2e/x", "/a/%2E./b", "/../")
	refuse(errFragment, "/a#b", "/#")
	refuse(errUTF8, "/\xff", "/%ff", "/%c0%ae", "/%ed%a0%80", "/a%c3")
}

func TestAnEncodedPathIsDecodedOnce(t *testing.T) {
	p, err := ParsePath("/a%252e%252e%252fb")
	if err != nil || p.Decoded != "/a%2e%2e%2fb" {
		t.Errorf("got %q, %v", p.Decoded, err)
	}
}

func TestACanonicalPathCostsNoAllocation(t *testing.T) {
	const raw = "/v2/keys/conftool/v1/pools/eqiad/appserver/nginx/mw1001.eqiad.wmnet"
	if n := testing.AllocsPerRun(100, func() { _, _ = ParsePath(raw) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What is forwarded must mean one key to every reader: it is a fixed point of
// our own reading, net/url (etcd's decoder) reads it as we do, and neither mux
// cleaning nor path.Join (both in etcd's way) finds anything to change in it.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/v2/keys/a", "/a%20b//c/", "/..%2f0", "/%2e%2e/0", "/é%c3%a9;x=%25", "/a#b", `/a\b`, "/%00", "//"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := ParsePath(raw)
		if err != nil {
			if strings.Contains(err.Error(), raw) && len(raw) > 3 {
				t.Fatalf("error repeats the input: %v", err)
			}
			return
		}
		again, err := ParsePath(p.Escaped)
		if err != nil || again != p {
			t.Fatalf("%q: forwarded %q is read again as %q, %v", raw, p.Escaped, again, err)
		}
		u, err := url.ParseRequestURI(p.Escaped)
		if err != nil || u.Path != p.Decoded || u.RawQuery != "" || u.Fragment != "" || u.Host != "" && !strings.HasPrefix(p.Escaped, "//") {
			t.Fatalf("%q: net/url reads %q as %+v, %v", raw, p.Escaped, u, err)
		}
		if path.Clean(p.Decoded) != p.Decoded || path.Clean(p.Escaped) != p.Escaped || path.Join("/1", p.Decoded) != strings.TrimSuffix("/1"+p.Decoded, "/") {
			t.Fatalf("%q: cleaning changes %q", raw, p.Decoded)
		}
		if direct, err := url.PathUnescape(raw); err != nil || path.Clean("/"+direct) != p.Decoded {
			t.Fatalf("%q: decoded and cleaned it is %q, not %q", raw, direct, p.Decoded)
		}
		if _, err := NewKey(p.Decoded); err != nil {
			t.Fatalf("%q: a canonical path is no key: %v", p.Decoded, err)
		}
	})
}
