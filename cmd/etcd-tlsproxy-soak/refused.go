package main

import (
	"fmt"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/check"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// sendRefused sends requests that the proxy must refuse without etcd, also while etcd is
// down.
func (c *client) sendRefused() {
	const mark = check.RefusedMark
	for n := 0; c.isWorking(); n++ {
		r := &transport.Request{Method: "PUT", Target: fmt.Sprintf("/soak/%s-%d", mark, n), Form: "value=" + mark, Local: true}
		status := 401
		switch c.random.IntN(8) {
		case 0: // without a user
		case 1:
			r.Target, r.User = fmt.Sprintf("/v2/keys/%s-%d", mark, n), "worker"
		case 2: // it would delete root's keys as well
			r.Method, r.Target, r.User = "DELETE", "/v2/keys/?recursive=true", "worker"
		case 3:
			r.Method, r.Target, r.User = "DELETE", "/v2/keys/soak?recursive=true", ""
		case 4: // etcd takes this key for a record of its members and would crash
			r.Target, r.User, status = "/soak/"+mark+"/0/members/ab/attributes", "root", 403
		case 5:
			r.Method, r.Target, r.User, status = "POST", "/v2/members", "root", 403
			r.Form = `{"peerURLs":["http://` + mark + `:1"]}`
		case 6:
			r.Target, r.User, status = "/soak/%2e%2e%2f"+mark, "root", 400
		case 7:
			r.Method, r.User, status = "PATCH", "root", 405
		}
		got, outcome := c.do(r, status)
		if outcome == done && got.ErrorCode == 0 {
			c.mismatch("%v: got %.200s, want one of etcd's errors", r, got.Body)
		}
		c.pause(60)
	}
}

// guessPasswords tries wrong passwords. After some of them its address has to wait.
func (c *client) guessPasswords() {
	for n := 0; c.isWorking(); n++ {
		user := []string{"root", "worker", "guest", "nobody"}[c.random.IntN(4)]
		c.do(&transport.Request{
			Method: "PUT", Target: fmt.Sprintf("/soak/%s-guess-%d", check.RefusedMark, n), Form: "value=" + check.RefusedMark,
			User: user, Secret: fmt.Sprint("wrong-", n), Local: true,
		}, 401, 429)
		c.pause(200)
	}
}
