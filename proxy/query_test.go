package proxy

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
)

func TestValuesNeverReachALog(t *testing.T) {
	for query, want := range map[string]string{
		"":                                  "",
		"wait=true&recursive=true":          "wait=true&recursive=true",
		"value=hunter2&prevIndex=7":         "value=-&prevIndex=7",
		"prevValue=hunter2":                 "prevValue=-",
		"hunter2":                           "-",
		"wait=hun%20ter2":                   "wait=-",
		"%76alue=hunter2":                   "-=-",
		"recursive=true&password=x&sorted=": "recursive=true&password=-&sorted=",
	} {
		if got := redactQuery(query); got != want {
			t.Errorf("%s logged as %s, want %s", query, got, want)
		}
	}
}

// Our reading of wait must be etcd's: net/url's query, first value, strconv's
// booleans.
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
		if got := waits(query); got != want {
			t.Fatalf("%q: %v, etcd reads %v", query, got, want)
		}
	})
}
