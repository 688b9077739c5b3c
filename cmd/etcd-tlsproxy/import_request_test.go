package main

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/siteimport"
	"etcd-tlsproxy/proxy/proxytest"
)

// side is one of the two proxies that receive the same requests.
type side struct {
	addr   string
	config *tls.Config
	c      *proxytest.Raw
}

// send sends a request and returns its outcome: the key that reached etcd, or "etcd"
// for another request that did, or the status of the refusal.
func (s *side) send(t *testing.T, method, target, authorization string) (outcome string) {
	t.Helper()
	var err error
	for range 2 { // nginx closes a connection now and then
		if s.c == nil {
			if s.c, err = proxytest.DialRaw(s.addr, s.config); err != nil {
				t.Fatal(err)
			}
		}
		if err = s.c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if err = s.c.Send(method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n" + authorization + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\nvalue=1"); err == nil {
			var a *proxytest.Answer
			if a, err = s.c.Answer(method); err == nil {
				if end, _ := a.Field("Connection"); end == "close" || !a.Whole {
					s.close()
				}
				return outcomeOf(a)
			}
		}
		s.close()
	}
	t.Fatalf("%s %s at %s: %v", method, target, s.addr, err)
	return ""
}

func (s *side) close() {
	if s.c != nil {
		_ = s.c.Close()
		s.c = nil
	}
}

func outcomeOf(a *proxytest.Answer) string {
	var body struct {
		ErrorCode int
		Cause     string
		Index     uint64
		Node      struct{ Key string }
	}
	isJSON := json.Unmarshal([]byte(a.Body), &body) == nil
	_, byEtcd := a.Field("X-Etcd-Cluster-Id")
	allow, _ := a.Field("Allow")
	switch {
	case byEtcd && strings.HasPrefix(body.Cause, "/"):
		return "key " + body.Cause
	case byEtcd:
		return "key " + body.Node.Key
	// Answers that are neither about keys nor about members: of nginx, of the proxy, or of
	// the rest of etcd.
	case strings.HasPrefix(a.Body, "<html>"), a.Status == 401, isJSON && body.ErrorCode != 0 && body.Index == 0, a.Status == 405 && strings.Contains(allow, "OPTIONS"):
		return fmt.Sprint("status ", a.Status)
	}
	return "etcd"
}

// request is a request with everything that is needed to judge its outcome.
type request struct {
	method, target, user, password, behind string
	known                                  bool // the password is the user's
}

func (r *request) authorization() string {
	if r.user == "" {
		return ""
	}
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(r.user+":"+r.password)) + r.behind + "\r\n"
}

func (p *profile) random(random *rand.Rand) *request {
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	r := &request{method: pick("PUT", "PUT", "PUT", "PUT", "DELETE", "DELETE", "POST", "GET", "GET", "HEAD"), target: "/v2/keys"}
	prefix := p.prefixes[random.IntN(len(p.prefixes))]
	if random.IntN(4) == 0 {
		prefix = p.prefixes[random.IntN(3)]
	}
	r.target += strings.TrimSuffix(prefix, "/")
	r.target += pick("", "", "/", "X", "~/y", "s", "2")
	for range random.IntN(3) {
		r.target += pick("/", "/", "//") + pick("a", "b", "a%20b", "%63onf", "x+y", "x%2By", "%c3%a9", "q=1", "a:b", "conftool", "_h", "...")
	}
	switch random.IntN(40) {
	case 0:
		r.target += pick("/../z", "/%2e%2e/z", "/a%2fb", "/a%5Cb", "/.", "/%ff", "/..%2fconftool/k")
	case 1:
		r.target = pick("/v2/keys", "/v2/keys?recursive=true")
	case 2:
		r.method, r.target = pick("GET", "PUT", "DELETE"), pick("/v2/members/1234", "/v2/auth/users/nobody", "/config/local/log", "/nothing", "/v2/stats/self", "/version", "/v2/machines", "/v2/keysX")
	case 3:
		r.method = pick("PATCH", "PROPFIND", "put", "OPTIONS")
	case 4: // a write of it would stop etcd
		r.method, r.target = "DELETE", "/v2/keys"+pick("", "/conftool", "/eventlogging")+"/0/members/1f/attributes"
	}
	if !strings.Contains(r.target, "?") {
		r.target += pick("", "", "", "?recursive=true", "?dir=true", "?prevExist=false")
	}
	switch own := p.users[prefix]; random.IntN(8) {
	case 0:
	case 1, 2:
		r.user = pick("root", "conftool", "pool-"+strings.ReplaceAll(p.pools[random.IntN(len(p.pools))], "/", "-"), "nobody")
	default:
		if r.user = "root"; own != nil {
			r.user = own[random.IntN(len(own))]
		}
	}
	r.password = p.passwords[r.user]
	switch random.IntN(20) {
	case 0:
		r.password = pick("wrong", "", p.passwords["root"]+"x")
	case 1:
		r.behind = pick(" x", "=", " ")
	}
	r.known = r.user != "" && r.password != "" && r.password == p.passwords[r.user]
	return r
}

// class returns why two outcomes may differ; ok is false if the import has not listed
// that reason.
func (r *request) class(differences []siteimport.Difference) (class string, ok bool) {
	path, _, _ := strings.Cut(r.target, "?")
	listed := func(class string, fits func(d *siteimport.Difference) bool) (string, bool) {
		return class, slices.ContainsFunc(differences, func(d siteimport.Difference) bool { return d.Class == class && fits(&d) })
	}
	always := func(*siteimport.Difference) bool { return true }
	canonical, err := acl.ParsePath(path)
	switch {
	case !slices.Contains([]string{"GET", "HEAD", "PUT", "POST", "DELETE"}, r.method):
		return listed(siteimport.Methods, always)
	case err != nil:
		return listed(siteimport.Spelling, always)
	case path == "/v2/keys":
		return listed(siteimport.Redirect, always)
	case !strings.HasPrefix(canonical.Decoded, "/v2/keys/") && canonical.Decoded != "/v2/keys":
		return listed(siteimport.Elsewhere, always)
	}
	key := acl.Key(strings.TrimPrefix(canonical.Decoded, "/v2/keys"))
	if key == "" {
		key = "/"
	}
	if key.Reserved() {
		return listed(siteimport.Reserved, always)
	}
	if strings.TrimLeft(r.behind, "= ") != "" {
		return listed(siteimport.Credentials, always)
	}
	return listed(siteimport.RawPrefix, func(d *siteimport.Difference) bool {
		beside := strings.HasPrefix(string(key), d.Key) && !acl.Key(d.Key).Covers(key)
		return beside && (r.known && slices.Contains(d.Users, r.user) || d.Everyone && !(r.known && slices.Contains(d.But, r.user)))
	})
}
