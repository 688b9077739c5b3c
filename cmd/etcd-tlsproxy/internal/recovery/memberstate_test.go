package recovery

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
)

// TestTheStateOfAMemberIsFoundOutBehindARuleOfReads probes a proxy that restricts reads
// and passes on the health of several etcds.
func TestTheStateOfAMemberIsFoundOutBehindARuleOfReads(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	writeFile(t, password, "secret\n")
	for _, c := range []struct {
		what, health string
		status, read int // of the health, and of a read that is allowed
		user         string
		want         string
	}{
		{"etcd 3.5 without a leader", `{"health":"false","reason":"RAFT NO LEADER"}`, 503, 503, "", "running"},
		{"etcd 3.5 without a quorum", `{"health":"false","reason":"QGET ERROR:etcdserver: request timed out"}`, 503, 503, "", "running"},
		{"a healthy one", `{"health":"true"}`, 200, 200, "", "live"},
		{"an alarm", `{"health":"false","reason":"ALARM NOSPACE"}`, 503, 200, "", "a rule of the proxy restricts reads: give a user who may read / with --user"},
		{"an alarm, and a user", `{"health":"false","reason":"ALARM NOSPACE"}`, 503, 200, "root", "live"},
		{"etcd 3.4 without a quorum", `{"health":"false"}`, 503, 503, "", "a rule of the proxy restricts reads"},
		{"etcd 3.4 without a quorum, and a user", `{"health":"false"}`, 503, 503, "root", "running"},
		{"a user who may not read", `{"health":"false"}`, 503, 503, "eve", "the user of --user may not read /, or has another password"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, given, _ := r.BasicAuth()
			switch {
			case r.URL.Path == "/health":
				if user != "" {
					t.Errorf("%s: the password was sent to %s, want it for reads alone", c.what, r.URL.Path)
				}
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.health)
			case user == "root" && given == "secret":
				w.WriteHeader(c.read)
			default:
				w.WriteHeader(http.StatusUnauthorized)
			}
		}))
		r := &Recovery{Members: []Member{{"a", server.URL, server.URL, server.URL}},
			Connection: cluster.Connection{Timeout: 100 * time.Millisecond, User: c.user}}
		if c.user != "" {
			r.Connection.PasswordFile = password
		}
		states, err := r.probeMembers(t.Context())
		if got := fmt.Sprint(states["a"], " ", err); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %q", c.what, got, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "--ca-file") {
			t.Errorf("%s: got the error %v, want no hint to files of certificates", c.what, err)
		}
		server.Close()
	}
}

// TestTheAnswerOfEtcdItselfCountsMoreThanARefusalOfItsProxy probes a member without a
// quorum whose etcd answers, and whose proxy restricts reads.
func TestTheAnswerOfEtcdItselfCountsMoreThanARefusalOfItsProxy(t *testing.T) {
	etcd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"health":"false"}`)
	}))
	defer etcd.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer proxy.Close()
	nothing := "http://" + unusedAddr(t)
	for client, want := range map[string]string{etcd.URL: "running <nil>", nothing: " connecting to a at " + proxy.URL + ": it refuses a read with status 401"} {
		r := &Recovery{Members: []Member{{"a", etcd.URL, client, proxy.URL}}, Connection: cluster.Connection{Timeout: 100 * time.Millisecond}}
		states, err := r.probeMembers(t.Context())
		if got := fmt.Sprint(states["a"], " ", err); !strings.HasPrefix(got, want) {
			t.Errorf("a member whose client URL is %s: got %s, want %s", client, got, want)
		}
	}
}
