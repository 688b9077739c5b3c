package main

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"etcd-tlsproxy/proxy/upstream"
)

func (c *checked) checkUpstream(ps *problems) {
	u := &c.config.Upstream
	if u.SRV != "" {
		c.checkSRV(ps)
	} else {
		c.checkEndpoints(ps)
	}
	if u.InsecureSkipVerify && (u.CA != "" || u.ServerName != "") {
		ps.add("it does not go with ca or server_name", "set it to false to verify, or remove the others", "upstream", "insecure_skip_verify")
	}
}

// checkSRV checks what tells where to discover endpoints; which there are is not
// known here.
func (c *checked) checkSRV(ps *problems) {
	u := &c.config.Upstream
	if ps.doc.meta.IsDefined("upstream", "endpoints") {
		ps.add("it does not go with upstream.endpoints", "remove one of the two: srv finds the endpoints in DNS", "upstream", "srv")
	}
	u.Endpoints = nil // the default is for those who name neither
	if err := upstream.CheckDomain(u.SRV); err != nil {
		ps.add(err.Error(), `as in "example.org", for _etcd-client-ssl._tcp.example.org`, "upstream", "srv")
	}
	if u.Resolver != "" {
		if at, err := netip.ParseAddrPort(u.Resolver); err != nil || at.Port() == 0 {
			ps.add("it is no address and port", `as in "127.0.0.1:53"; a name would have to be resolved first`, "upstream", "resolver")
		}
	}
	// DNS is not asked in a loop, and not so rarely that it would be taken for broken.
	if d := u.SRVRefresh.Duration(); d < time.Second || d > 24*time.Hour {
		ps.add("it is out of range", "between 1s and 24h are allowed", "upstream", "srv_refresh")
	}
}

func (c *checked) checkEndpoints(ps *problems) {
	u := &c.config.Upstream
	if len(u.Endpoints) == 0 {
		ps.add("there is no endpoint", `name etcd's client URL, as in ["http://127.0.0.1:2379"]`, "upstream", "endpoints")
	}
	secure := false
	for _, text := range u.Endpoints {
		e, err := upstream.ParseEndpoint(text)
		if err != nil {
			ps.add("an endpoint is no client URL: "+err.Error(), `as in "http://127.0.0.1:2379"`, "upstream", "endpoints")
			continue
		}
		if slices.Contains(c.endpoints, e) {
			ps.add(fmt.Sprintf("endpoint %s is named twice", e), "remove one", "upstream", "endpoints")
		}
		c.endpoints = append(c.endpoints, e)
		secure = secure || e.TLS()
	}
	onlyTLS := func(set bool, key string) {
		if set && !secure {
			ps.add("no endpoint is https", "it would do nothing; remove it, or write https:// in upstream.endpoints", "upstream", key)
		}
	}
	onlyTLS(u.CA != "", "ca")
	onlyTLS(u.ServerName != "", "server_name")
	onlyTLS(u.InsecureSkipVerify, "insecure_skip_verify")
	onlySRV := func(set bool, key string) {
		if set {
			ps.add("there is no upstream.srv", "it would do nothing; remove it, or set upstream.srv", "upstream", key)
		}
	}
	onlySRV(u.Resolver != "", "resolver")
	onlySRV(u.SRVRefresh != DefaultConfig().Upstream.SRVRefresh, "srv_refresh")
}

// onlyTLS reports whether no endpoint can be a plaintext one.
func (c *checked) onlyTLS() bool {
	if u := &c.config.Upstream; u.SRV != "" {
		return u.wantsTLS()
	}
	return !slices.ContainsFunc(c.endpoints, func(e upstream.Endpoint) bool { return !e.TLS() })
}

// wantsTLS reports whether the configuration says something about TLS to etcd.
func (u *Upstream) wantsTLS() bool { return u.CA != "" || u.ServerName != "" || u.InsecureSkipVerify }
