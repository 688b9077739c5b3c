package config

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/upstream"
)

// Parsed is a checked configuration in the terms of the packages that apply it.
type Parsed struct {
	*Config
	Document *Document
	Rules    *acl.Rules
	// Surfaces holds the users of each opened surface, by the surface's name.
	Surfaces map[string]acl.Group
	// Endpoints is nil if the endpoints have to be discovered.
	Endpoints []upstream.Endpoint
	// ShadowEndpoints is nil if the shadow is in the store of the endpoints.
	ShadowEndpoints []upstream.Endpoint
	// Balancers are the networks of load balancers.
	Balancers []netip.Prefix
	NameRule  certs.NameRule
}

// Parse reads a configuration and checks everything that can be checked without
// another file. The error joins all [Error]s.
func Parse(file string, data []byte) (*Parsed, error) {
	doc, config, err := Decode(file, data)
	if err != nil {
		return nil, err
	}
	return Check(doc, config)
}

// Check checks everything in a configuration that can be checked without another file.
// Errors are located in the document. The error joins all [Error]s.
func Check(doc *Document, config *Config) (_ *Parsed, err error) {
	errs := doc.NewErrors()
	c := &Parsed{Config: config, Document: doc}
	checkAddress(errs, c.Listen, "listen")
	checkAddress(errs, c.Admin, "admin")
	for _, name := range c.AdminNames {
		if name == "" || strings.ContainsAny(name, ":/ \t") {
			errs.Add(fmt.Sprintf("%q is not a valid name of a host", name), `write a name without a port, as in "conf1001.example.org"`, "admin_names")
		}
	}
	c.Balancers = c.balancers(errs)
	c.checkUpstream(errs)
	c.checkTLS(errs)
	rules := c.rules(errs)
	c.checkSurfaces(errs)
	c.checkTags(errs)
	c.checkLog(errs)
	for i, path := range c.Auth.Htpasswd {
		switch {
		case path == "":
			errs.Add("the name of a file is empty", "remove it", "auth", "htpasswd")
		case slices.Contains(c.Auth.Htpasswd[:i], path):
			errs.Add(fmt.Sprintf("file %q is listed twice", path), "remove one", "auth", "htpasswd")
		}
	}
	c.checkCertificates(errs)
	if err := errs.Err(); err != nil {
		return nil, err
	}
	match := acl.MatchSegments
	if c.Match == "both" {
		match = acl.MatchBoth
	}
	if c.Rules, err = acl.NewRules(match, rules...); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Parsed) checkTLS(errs *Errors) {
	t := &c.TLS
	checkPairs(errs, t.Certificate, t.Key)
	if t.ClientAuth == "require" && t.ClientCA == "" {
		errs.Add("client certificates are required, but there is no CA to verify them with", "set tls.client_ca", "tls", "client_auth")
	}
	if t.ClientCRL != "" && t.ClientCA == "" {
		errs.Add("there are revocation lists, but no CA whose certificates they revoke", "set tls.client_ca, or remove the key", "tls", "client_crl")
	}
	// The choices in the tag are those of ParseNameRule, so checkTags reports its error.
	c.NameRule, _ = certs.ParseNameRule(t.ClientName)
}

func (c *Parsed) checkCertificates(errs *Errors) {
	names := c.Auth.Certificates
	c.checkUsers(errs, names, "auth", "certificates")
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			errs.Add(fmt.Sprintf("user %q is listed twice", name), "remove one of them, or correct the name", "auth", "certificates")
		}
	}
	if len(names) > 0 && c.TLS.ClientCA == "" {
		errs.Add("the key has no effect, because no client certificate is verified", "set tls.client_ca, or remove the key", "auth", "certificates")
	}
}

// SurfaceNames returns the surfaces that can be opened.
func SurfaceNames() []string { return []string{"members", "auth", "config", "debug", "v3"} }

func (c *Parsed) checkSurfaces(errs *Errors) {
	c.Surfaces = make(map[string]acl.Group)
	for _, name := range slices.Sorted(maps.Keys(c.Config.Surfaces)) {
		users := c.Config.Surfaces[name]
		if !slices.Contains(SurfaceNames(), name) {
			errs.Add("there is no such surface", "choose one of "+strings.Join(SurfaceNames(), ", "), "surfaces", name)
			continue
		}
		if len(users) == 0 {
			errs.Add("the list of users is empty", "name the users who may use this surface, or remove the key to close it", "surfaces", name)
		}
		c.checkUsers(errs, users, "surfaces", name)
		c.Surfaces[name] = acl.Only(users...)
	}
}

// IsLogFile reports whether the place of a log is the path of a file.
func IsLogFile(where string) bool { return where != "off" && where != "stdout" && where != "stderr" }

func (c *Parsed) checkLog(errs *Errors) {
	var level slog.Level
	if level.UnmarshalText([]byte(c.Log.Level)) != nil {
		errs.Add(notAValue(c.Log.Level), "choose one of debug, info, warn, error", "log", "level")
	}
	if c.Log.AuditRequired && c.Log.Audit == "off" {
		errs.Add("the audit log is required, but log.audit is off", "name a file in log.audit, or set audit_required to false", "log", "audit_required")
	}
	for key, value := range map[string]string{"access": c.Log.Access, "audit": c.Log.Audit} {
		if value == "" {
			errs.Add("the value is empty", "choose one of off, stdout, stderr, or name a file", "log", key)
		}
	}
}
