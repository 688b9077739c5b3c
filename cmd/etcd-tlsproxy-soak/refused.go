package main

import (
	"fmt"
	"strings"
)

// mark is part of each key and value that must never reach etcd.
const mark = "refused"

// refused asks for what nobody gets. The proxy must say so itself, also while etcd
// is down.
func (a *actor) refused() {
	for n := 0; a.working(); n++ {
		r := &request{method: "PUT", target: fmt.Sprintf("/soak/%s-%d", mark, n), form: "value=" + mark, local: true}
		status := 401
		switch a.random.IntN(8) {
		case 0: // nobody in particular
		case 1:
			r.target, r.user = fmt.Sprintf("/v2/keys/%s-%d", mark, n), "worker"
		case 2:
			r.method, r.target, r.user = "DELETE", "/v2/keys/?recursive=true", "worker" // touches root's
		case 3:
			r.method, r.target, r.user = "DELETE", "/v2/keys/soak?recursive=true", ""
		case 4: // etcd would not survive it
			r.target, r.user, status = "/soak/"+mark+"/0/members/ab/attributes", "root", 403
		case 5:
			r.method, r.target, r.user, status = "POST", "/v2/members", "root", 403
			r.form = `{"peerURLs":["http://` + mark + `:1"]}`
		case 6:
			r.target, r.user, status = "/soak/%2e%2e%2f"+mark, "root", 400
		case 7:
			r.method, r.user, status = "PATCH", "root", 405
		}
		got, outcome := a.do(r, status)
		if outcome == done && got.ErrorCode == 0 {
			a.wrong("%v: %.200s is no error of etcd's", r, got.body)
		}
		a.pace(60)
	}
}

// guess tries wrong passwords. After some of them its address has to wait.
func (a *actor) guess() {
	for n := 0; a.working(); n++ {
		user := []string{"root", "worker", "guest", "nobody"}[a.random.IntN(4)]
		r := &request{method: "PUT", target: fmt.Sprintf("/soak/%s-guess-%d", mark, n), user: user, secret: fmt.Sprint("wrong-", n), form: "value=" + mark, local: true}
		a.do(r, 401, 429)
		a.pace(200)
	}
}

// checkRefused looks for traces of what was refused in all that the v2 API can change.
func (w *world) checkRefused() error {
	for _, path := range []string{"/v2/keys/?recursive=true&quorum=true", "/v2/members", "/v2/auth/users"} {
		body, err := direct(w.etcd.URL(), path)
		if err != nil {
			return err
		}
		if at := strings.Index(string(body), mark); at >= 0 {
			w.tally.ghostWrite("end", "%s shows what was refused: %.200q", path, body[max(0, at-50):])
		}
	}
	return nil
}
