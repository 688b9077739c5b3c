package gate

import (
	"net/url"
	"strconv"
	"testing"
)

// The proxy must read a query like etcd: the first value of net/url's query, as one of
// strconv's booleans.
func FuzzReadQuery(f *testing.F) {
	for _, seed := range []string{
		"wait=true", "a=b&wait=1", "w%61it=%74", "wait=+true", "wait", "wait=true&wait=false", "%zz&wait=true", "wait=%zz&wait=true", "a;wait=true",
		"recursive=true&sorted=1&quorum=T", "recursive=x&recursive=true", "waitIndex=-1", "ttl=", "ttl=&ttl=x", "refresh=true&ttl=1", "prevValue",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if checkQuery(query) != nil {
			return
		}
		got := readQuery(query)
		values, err := url.ParseQuery(query)
		if err != nil {
			if !got.malformed {
				t.Fatalf("%q: got %+v, etcd refuses it: %v", query, got, err)
			}
			return
		}
		flag := func(name string, got bool) {
			want := false
			if v := values[name]; len(v) > 0 {
				want, _ = strconv.ParseBool(v[0])
			}
			if got != want {
				t.Fatalf("%q: got %s %t, etcd reads %t", query, name, got, want)
			}
		}
		flag("wait", got.wait)
		flag("recursive", got.recursive)
		flag("sorted", got.sorted)
		flag("quorum", got.quorum)
	})
}
