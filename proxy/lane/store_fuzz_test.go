package lane

import (
	"context"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// FuzzTheStoreDoesWhatTheGateDecidedOn compares what the gate and the store read in the same
// request: parse panics if they differ in the key, in the right that is needed, or in whether
// the request waits.
func FuzzTheStoreDoesWhatTheGateDecidedOn(f *testing.F) {
	for _, target := range []string{
		"/v2/keys", "/v2/keys/", "/v2/keys//a//b/", "/v2/keys/a%20b", "/v2/keys/%61", "/v2/keys/a/./b", "/v2/keys/a/../b", "/v2/keys/a%2Fb", "/v2/keys/%2e%2e/b",
		"/v2/keys/a?wait=true", "/v2/keys/a?wait=1&wait=false", "/v2/keys/a?wait=false&wait=1", "/v2/keys/a?w%61it=true", "/v2/keys/a?wait=t&quorum=true", "/v2/keys/a?WAIT=true",
		"/v2/keys/a?wait=true&x=%zz", "/v2/keys/a?wait=+true", "/v2/keys/a?wait=", "/v2/keys/a?wait", "/v2/keys/a?&wait=TRUE&", "/v2/keys/a?stream=true&wait=true&recursive=T",
		"/v2/keys/a?wait=true;x=1", "/v2/keys/a?prevExist=true&dir=true", "http://h/v2/keys/a", "/v2/keys/\xc3\xa9", "/v2/keys/a+b", "/v2/keys/_hidden/x", "/v2/keys?recursive=true",
	} {
		for _, method := range []string{"GET", "HEAD", "PUT", "POST", "DELETE"} {
			f.Add(method, target, "application/x-www-form-urlencoded", []byte("value=1&wait=true"))
		}
	}
	f.Add("PUT", "/v2/keys/a", "application/x-www-form-urlencoded; charset=x", []byte("prevExist=true&key=/b&method=GET"))
	f.Add("PUT", "/v2/keys/a", "multipart/form-data; boundary=x", []byte("--x--"))
	g := &gate.Gate{
		Throttle: acl.NewThrottle(acl.ThrottleOptions{}),
		Admits:   func(*gate.Peer, acl.Access) bool { return true }, Login: func(gate.Login) {},
	}
	policy := seed.Policy(f)
	f.Fuzz(func(t *testing.T, method, target, contentType string, body []byte) {
		var rec observe.Record
		req := &gate.Request{Method: method, Target: target, Authorization: seed.Basic("root"), Peer: seed.Peer()}
		if g.Decide(context.Background(), policy, req, &rec.Op) != nil || rec.Op.Surface != gate.Keys || rec.Op.Method == gate.MethodOptions {
			return
		}
		parse(&rec.Op, contentType, body, true)
	})
}
