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

// URLHealth is that of one advertised client URL.
type URLHealth struct {
	URL     string `json:"url"`
	State   State  `json:"state"`
	Problem string `json:"problem,omitempty"`
	// Expires is when the certificate does that the URL shows.
	Expires *time.Time `json:"certificate_expires,omitempty"`
}

func (u *URLHealth) setExpiry(certificate *x509.Certificate) {
	if certificate != nil {
		u.Expires = &certificate.NotAfter
	}
}

// lookAt asks one URL of a member, and notes what it says about the member.
func (mc *memberClient) probeURL(ctx context.Context, id, base string, m *MemberHealth) URLHealth {
	u := URLHealth{URL: base, State: Unreachable}
	got, err := mc.get(ctx, http.MethodGet, base, "/health")
	if err != nil {
		u.Problem = err.Error()
		u.setExpiry(unverified(err))
		return u // the other questions would only wait as long
	}
	u.setExpiry(got.certificate)
	if ok, why := healthy(got); ok {
		u.State = Healthy
	} else {
		u.State, u.Problem = Unhealthy, why
	}
	// A proxy whose own etcd is down lets another member answer: its member is no
	// healthier for that.
	if self, ok := mc.memberID(ctx, base); ok && self != id {
		u.State, u.Problem = Unhealthy, "member "+self+" answers there (hint: is this member's etcd down, and does its proxy use another?)"
		return u
	}
	mc.readDetails(ctx, base, m)
	return u
}

// healthy reads an answer of /health. etcd writes a string there, and its successors
// might write what JSON has for it.
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
		return false, "it says that it is not healthy: " + printable(status.Reason)
	}
	return false, "it says that it is not healthy"
}

// self is the id of the member that answers at a URL.
func (mc *memberClient) memberID(ctx context.Context, base string) (id string, ok bool) {
	var self struct{ ID string }
	got, err := mc.get(ctx, http.MethodGet, base, "/v2/stats/self")
	if err != nil || !got.decode(&self) || self.ID == "" {
		return "", false
	}
	return self.ID, true
}

// learn asks for what is good to know; what is not told stays unknown.
func (mc *memberClient) readDetails(ctx context.Context, base string, m *MemberHealth) {
	var leader struct{ ID string }
	// /v2/stats/self remembers the last leader; this knows whether there is one.
	if got, err := mc.get(ctx, http.MethodGet, base, "/v2/members/leader"); err == nil && got.decode(&leader) {
		m.follows = leader.ID
	}
	var version struct{ Etcdserver string }
	if got, err := mc.get(ctx, http.MethodGet, base, "/version"); err == nil && got.decode(&version) {
		m.Version = version.Etcdserver
	}
	if index, cluster, ok := mc.raftIndex(ctx, base); ok {
		m.RaftIndex, m.cluster = index, cluster
	}
}

// index is what a member has committed, and its cluster's id. They are headers of
// answers about keys; the root has one on every cluster.
func (mc *memberClient) raftIndex(ctx context.Context, base string) (index uint64, cluster string, ok bool) {
	// Reading may be restricted; the user goes where the operator sent it, only.
	got, err := mc.do(ctx, http.MethodHead, base, "/v2/keys/", nil, slices.Contains(mc.endpoints, base))
	if err != nil {
		return 0, "", false
	}
	index, err = strconv.ParseUint(got.header.Get("X-Raft-Index"), 10, 64)
	return index, got.header.Get("X-Etcd-Cluster-Id"), err == nil
}
