package config

import (
	"fmt"
	"net/netip"
	"slices"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/upstream"
)

func (c *Parsed) checkUpstream(errs *Errors) {
	u := &c.Upstream
	if u.SRV != "" {
		c.checkSRV(errs)
	} else {
		c.checkEndpoints(errs)
	}
	if u.InsecureSkipVerify && (u.CA != "" || u.ServerName != "") {
		errs.Add("the value cannot be true together with ca or server_name", "set it to false to verify certificates, or remove the other keys",
			"upstream", "insecure_skip_verify")
	}
	u.checkUser(errs)
	c.checkAPI(errs)
	c.checkShadow(errs)
	if u.Certificate == "" && u.Key != "" {
		errs.Add("there is a key, but no certificate", "name the PEM file with the client certificate in upstream.certificate, or remove the key", "upstream", "key")
	}
	if u.Certificate != "" && u.Key == "" {
		errs.Add("there is a certificate, but no key", "name the PEM file with its private key in upstream.key, which can be the same file", "upstream", "certificate")
	}
}

// checkUser checks the credentials that etcd is sent.
func (u *Upstream) checkUser(errs *Errors) {
	switch {
	case u.User == "" && u.PasswordFile != "":
		errs.Add("there is a password, but no user", "name the user of etcd in upstream.user, or remove the key", "upstream", "password_file")
		return
	case u.User == "":
		return
	case u.PasswordFile == "":
		errs.Add("there is no password of the user", "name a file whose first line is the password in upstream.password_file", "upstream", "user")
	}
	if err := acl.CheckName(u.User); err != nil {
		errs.Add(err.Error(), "correct the name", "upstream", "user")
	}
	if u.Forwards() {
		errs.Add("the key cannot be set together with credentials = \"forward\"", "remove one of the two: a client without credentials would act as this user", "upstream", "user")
	}
}

// Forwards reports whether etcd receives the credentials of clients.
func (u *Upstream) Forwards() bool { return u.Credentials == "forward" }

// checkSRV checks the settings of the discovery. The lookup itself needs the
// network.
func (c *Parsed) checkSRV(errs *Errors) {
	u := &c.Upstream
	if err := upstream.CheckDomain(u.SRV); err != nil {
		errs.Add("not a valid domain: "+err.Error(), `write it as in "example.org", for _etcd-client-ssl._tcp.example.org`, "upstream", "srv")
	}
	if u.Resolver != "" {
		if at, err := netip.ParseAddrPort(u.Resolver); err != nil || at.Port() == 0 {
			errs.Add(fmt.Sprintf("%q is not a valid IP address with port", u.Resolver),
				`write it as in "127.0.0.1:53"; a name would have to be resolved first`, "upstream", "resolver")
		}
	}
}

func (c *Parsed) checkEndpoints(errs *Errors) {
	u := &c.Upstream
	if len(u.Endpoints) == 0 {
		errs.Add("there is no endpoint", `add etcd's client URL, as in ["http://127.0.0.1:2379"]`, "upstream", "endpoints")
	}
	secure := false
	for _, text := range u.Endpoints {
		e, err := upstream.ParseEndpoint(text)
		if err != nil {
			// The text is not repeated: it may contain a password.
			errs.Add("an endpoint is not a valid client URL: "+err.Error(), `write it as in "http://127.0.0.1:2379"`, "upstream", "endpoints")
			continue
		}
		if slices.Contains(c.Endpoints, e) {
			errs.Add(fmt.Sprintf("endpoint %s is listed twice", e), "remove one", "upstream", "endpoints")
		}
		c.Endpoints = append(c.Endpoints, e)
		secure = secure || e.TLS()
	}
	onlyTLS := func(set bool, key string) {
		if set && !secure {
			errs.Add("the key has no effect, because no endpoint is https", "remove it, or write https:// in upstream.endpoints", "upstream", key)
		}
	}
	onlyTLS(u.CA != "", "ca")
	onlyTLS(u.ServerName != "", "server_name")
	onlyTLS(u.InsecureSkipVerify, "insecure_skip_verify")
	onlyTLS(u.Certificate != "", "certificate")
	onlySRV := func(set bool, key string) {
		if set {
			errs.Add("the key has no effect without upstream.srv", "remove it, or set upstream.srv", "upstream", key)
		}
	}
	onlySRV(u.Resolver != "", "resolver")
	onlySRV(u.SRVRefresh != Default().Upstream.SRVRefresh, "srv_refresh")
}

// onlyTLS reports whether no endpoint can be a plaintext one.
func (c *Parsed) onlyTLS() bool {
	if c.Upstream.SRV != "" {
		return c.Upstream.WantsTLS()
	}
	return !slices.ContainsFunc(c.Endpoints, func(e upstream.Endpoint) bool { return !e.TLS() })
}

// WantsTLS reports whether a setting asks for TLS to discovered endpoints.
func (u *Upstream) WantsTLS() bool {
	return u.CA != "" || u.ServerName != "" || u.InsecureSkipVerify || u.Certificate != ""
}

// SameSource reports whether u and v discover endpoints with the same lookup.
func (u *Upstream) SameSource(v *Upstream) bool { return u.SRV == v.SRV && u.Resolver == v.Resolver }

// Parts returns the parts into which upstream_requests is divided.
func (l *Limits) Parts() upstream.Parts { return upstream.PartsOf(int64(l.UpstreamRequests)) }
