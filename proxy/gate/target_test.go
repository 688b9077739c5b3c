package gate

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// The proxy must read wait like etcd: the first value of net/url's query, as one of
// strconv's booleans.
func FuzzWaits(f *testing.F) {
	for _, seed := range []string{"wait=true", "a=b&wait=1", "w%61it=%74", "wait=+true", "wait", "wait=true&wait=false", "%zz&wait=true", "wait=%zz&wait=true", "a;wait=true"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if !goodQuery(query) || strings.Contains(query, ";") {
			return
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			return // etcd refuses it
		}
		want := false
		if v := values["wait"]; len(v) > 0 {
			want, _ = strconv.ParseBool(v[0])
		}
		if got := Waits(query); got != want {
			t.Fatalf("%q: %v, etcd reads %v", query, got, want)
		}
	})
}
