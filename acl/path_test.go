package acl

import (
	"errors"
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
			t.Errorf("ParsePath(%q): got %q, %q, %v; want %q, %q", raw, p.Decoded, p.Escaped, err, decoded, escaped)
		}
	}
	fold("/", "/", "/")
	fold("//", "/", "/")
	fold("/v2/keys/", "/v2/keys", "/v2/keys")
	fold("/v2/keys/conftool/v1/mediawiki-config/", "/v2/keys/conftool/v1/mediawiki-config", "/v2/keys/conftool/v1/mediawiki-config")
	fold("//v2///keys//a//", "/v2/keys/a", "/v2/keys/a")
	fold("/a%3ab", "/a:b", "/a:b")
	fold("/%4a%4A%4f%4F!", "/JJOO!", "/JJOO!")
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
			if p, err := ParsePath(raw); !errors.Is(err, want) {
				t.Errorf("ParsePath(%q): got %q, %v; want the error %v", raw, p.Decoded, err, want)
			}
		}
	}
	refuse(errRelative, "", "a", "*", "v2/keys", "%2fa")
	refuse(errEscape, "/%", "/a%2", "/%zz", "/%u002f", "/%%", "/a%0", "/%4g", "/%4G", "/%4:", "/%4/", "/%4@", "/%4`", "/%g4", "/%G4", "/%:4", "/%/4", "/%@4", "/%`4")
	refuse(errControl, "/a b", "/\x00", "/a\tb", "/a\x7f", "/%00", "/%09", "/%0a", "/%0d", "/%1F", "/%7f", "/a ")
	refuse(errSlash, "/a%2fb", "/v2%2Fkeys/a", "/v2/keys%2Fa", "/..%2f0", "/%2f")
	refuse(errBackslash, `/a\b`, "/a%5cb", `/..\a`)
	refuse(errDots, "/.", "/..", "/a/./b", "/a/../b", "/a/..", "/%2e", "/%2e%2e/0", "/.%2e/x", "/a/%2E./b", "/../")
	refuse(errFragment, "/a#b", "/#")
	refuse(errUTF8, "/\xff", "/%ff", "/%c0%ae", "/%ed%a0%80", "/a%c3")
}

func TestAnEncodedPathIsDecodedOnce(t *testing.T) {
	const raw, want = "/a%252e%252e%252fb", "/a%2e%2e%2fb"
	if p, err := ParsePath(raw); err != nil || p.Decoded != want {
		t.Errorf("ParsePath(%q): got %q, %v; want %q", raw, p.Decoded, err, want)
	}
}

func TestACanonicalPathCostsNoAllocation(t *testing.T) {
	for _, raw := range []string{"/", "/v2/keys/conftool/v1/pools/eqiad/appserver/nginx/mw1001.eqiad.wmnet"} {
		if n := testing.AllocsPerRun(100, func() { _, _ = ParsePath(raw) }); n != 0 {
			t.Errorf("ParsePath(%q): got %v allocations, want none", raw, n)
		}
	}
}

// FuzzPath checks that every program reads a forwarded path as the same key. The
// path is a fixed point of ParsePath, net/url (which etcd decodes with) agrees with
// ParsePath, and neither the cleaning of a mux nor path.Join (etcd uses both) changes
// the path.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/v2/keys/a", "/a%20b//c/", "/..%2f0", "/%2e%2e/0", "/é%c3%a9;x=%25", "/a#b", `/a\b`, "/%00", "//"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := ParsePath(raw)
		if err != nil {
			if strings.Contains(err.Error(), raw) && len(raw) > 3 {
				t.Fatalf("ParsePath(%q): the error repeats the input: %v", raw, err)
			}
			return
		}
		again, err := ParsePath(p.Escaped)
		if err != nil || again != p {
			t.Fatalf("ParsePath(%q), the forwarded form of %q: got %+v, %v; want %+v", p.Escaped, raw, again, err, p)
		}
		u, err := url.ParseRequestURI(p.Escaped)
		if err != nil || u.Path != p.Decoded || u.RawQuery != "" || u.Fragment != "" ||
			u.Host != "" && !strings.HasPrefix(p.Escaped, "//") {
			t.Fatalf("%q: net/url parses the forwarded %q to %+v, %v; want the path %q alone", raw, p.Escaped, u, err, p.Decoded)
		}
		if path.Clean(p.Decoded) != p.Decoded || path.Clean(p.Escaped) != p.Escaped {
			t.Fatalf("%q: path.Clean changes %q or %q", raw, p.Decoded, p.Escaped)
		}
		if got, want := path.Join("/1", p.Decoded), strings.TrimSuffix("/1"+p.Decoded, "/"); got != want {
			t.Fatalf("%q: path.Join: got %q, want %q", raw, got, want)
		}
		if direct, err := url.PathUnescape(raw); err != nil || path.Clean("/"+direct) != p.Decoded {
			t.Fatalf("%q: unescaped to %q, %v and cleaned: got %q, want %q", raw, direct, err, path.Clean("/"+direct), p.Decoded)
		}
		if _, err := NewKey(p.Decoded); err != nil {
			t.Fatalf("NewKey(%q), a canonical path: got the error %v, want none", p.Decoded, err)
		}
	})
}
