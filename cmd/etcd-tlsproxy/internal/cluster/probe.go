package cluster

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// URLHealth is the state of one advertised client URL.
type URLHealth struct {
	URL     string `json:"url"`
	State   State  `json:"state"`
	Problem string `json:"problem,omitempty"`
	// Proxy is set if etcd-tlsproxy answered there, and not etcd itself.
	Proxy bool `json:"proxy"`
	// Emptying is set if the proxy makes its clients leave, or stops.
	Emptying bool `json:"emptying,omitempty"`
	// Expires is the expiry of the server's certificate.
	Expires *time.Time `json:"certificate_expires,omitempty"`
}

func (u *URLHealth) setExpiry(certificate *x509.Certificate) {
	if certificate != nil {
		u.Expires = &certificate.NotAfter
	}
}

// probeURL checks one URL of a member, and adds what it learns to the member.
func (mc *memberClient) probeURL(ctx context.Context, id, base string, m *MemberHealth) URLHealth {
	u := URLHealth{URL: base, State: Unreachable}
	got, err := mc.get(ctx, http.MethodGet, base, "/health")
	if err != nil {
		u.Problem = err.Error()
		u.setExpiry(unverified(err))
		return u // further requests would only wait as long
	}
	u.setExpiry(got.certificate)
	u.Proxy = got.proxied
	if ok, why := healthy(got); ok {
		u.State = Healthy
		// Otherwise a proxy closes no connection behind an answer that it passes on.
		u.Emptying = got.proxied && got.last
	} else {
		u.State, u.Problem = Unhealthy, why
	}
	// A proxy whose own etcd is down forwards to another member. That does not make this
	// member healthy.
	if self, ok := mc.memberID(ctx, base); ok && self != id {
		u.State, u.Problem = Unhealthy, "member "+self+" answers there (hint: this member's etcd may be down while its proxy uses another one)"
		return u
	}
	mc.readDetails(ctx, base, m)
	return u
}

// healthy evaluates a response of /health. etcd 3.4 writes the state as a string; a JSON
// boolean is accepted as well.
func healthy(r *response) (ok bool, why string) {
	var status struct {
		Health any
		Reason string
	}
	err := json.Unmarshal(r.body, &status)
	switch {
	case err != nil || status.Health == nil:
		return false, "it answers /health with " + strconv.Itoa(r.status) + ": " + r.errorText()
	case r.status == http.StatusOK && (status.Health == "true" || status.Health == true):
		return true, ""
	case status.Reason != "":
		return false, "it reports that it is not healthy: " + printable(status.Reason)
	}
	return false, "it reports that it is not healthy"
}

// memberID returns the id of the member that answers at a URL.
func (mc *memberClient) memberID(ctx context.Context, base string) (id string, ok bool) {
	var self struct{ ID string }
	got, err := mc.get(ctx, http.MethodGet, base, "/v2/stats/self")
	if err != nil || !got.decode(&self) || self.ID == "" {
		return "", false
	}
	return self.ID, true
}

// readDetails reads the leader, the version and the index of a member. A request that
// fails leaves its value unknown.
func (mc *memberClient) readDetails(ctx context.Context, base string, m *MemberHealth) {
	var leader struct{ ID string }
	// /v2/stats/self keeps the last leader; this path tells whether there is one now.
	if got, err := mc.get(ctx, http.MethodGet, base, "/v2/members/leader"); err == nil && got.decode(&leader) {
		m.follows, m.cluster = leader.ID, got.header.Get("X-Etcd-Cluster-Id")
	}
	var version struct{ Etcdserver string }
	if got, err := mc.get(ctx, http.MethodGet, base, "/version"); err == nil && got.decode(&version) {
		m.Version = version.Etcdserver
	}
	if index, ok := mc.raftIndex(ctx, base); ok {
		m.RaftIndex = index
	}
}

// rootKey is the key whose reads show the index. Every cluster has it.
const rootKey = "/v2/keys/"

// findReads finds out whether everyone can read the index. Where reads need a user, each
// refused one would be a line of the audit log for each member and each check: there is one
// such line without a user, and none with one.
func (mc *memberClient) findReads(ctx context.Context) {
	if mc.user != "" {
		return
	}
	for _, endpoint := range mc.endpoints {
		if got, err := mc.get(ctx, http.MethodHead, endpoint, rootKey); err == nil {
			mc.openReads = got.status != http.StatusUnauthorized && got.status != http.StatusForbidden
			return
		}
	}
}

// raftIndex returns the index that a member has committed. It is a header of responses
// about keys.
func (mc *memberClient) raftIndex(ctx context.Context, base string) (index uint64, ok bool) {
	// The password is sent only to URLs that the operator wrote.
	withUser := mc.user != "" && slices.Contains(mc.endpoints, base)
	if !withUser && !mc.openReads {
		return 0, false
	}
	got, err := mc.do(ctx, http.MethodHead, base, rootKey, nil, withUser)
	if err != nil {
		return 0, false
	}
	index, err = strconv.ParseUint(got.header.Get("X-Raft-Index"), 10, 64)
	return index, err == nil
}
