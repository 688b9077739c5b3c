package main

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/upstream"
)

// checked is what a configuration says, in the terms of the packages below.
type checked struct {
	config    *Config
	rules     *acl.Rules
	surfaces  map[gate.Surface]acl.Group
	endpoints []upstream.Endpoint
	nameRule  certs.NameRule
}

// ParseConfig reads a configuration and checks all of it that can be checked
// without another file. The error is all [*ConfigError]s, joined.
func ParseConfig(file string, data []byte) (*Config, error) {
	c, _, err := parseConfig(file, data)
	if err != nil {
		return nil, err
	}
	return c.config, nil
}

func parseConfig(file string, data []byte) (*checked, *document, error) {
	doc, config, err := parseDocument(file, data)
	if err != nil {
		return nil, nil, err
	}
	ps := &problems{doc: doc}
	c := &checked{config: config}
	checkAddress(ps, config.Listen, "listen")
	checkAddress(ps, config.Admin, "admin")
	c.checkUpstream(ps)
	c.checkTLS(ps)
	rules := config.rules(ps)
	c.checkSurfaces(ps)
	c.checkLimits(ps)
	config.checkLog(ps)
	match := acl.MatchSegments
	if oneOf(ps, config.Match, []string{"segment", "both"}, "match") && config.Match == "both" {
		match = acl.MatchBoth
	}
	for i, path := range config.Auth.Htpasswd {
		if path == "" || slices.Contains(config.Auth.Htpasswd[:i], path) {
			ps.add("a file is empty or named twice", "remove it", "auth", "htpasswd")
		}
	}
	if err := ps.err(); err != nil {
		return nil, nil, err
	}
	if c.rules, err = acl.NewRules(match, rules...); err != nil {
		return nil, nil, err
	}
	return c, doc, nil
}

func checkAddress(ps *problems, address string, key ...string) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		ps.add("it is no address", `write host:port, or :port for all addresses; an IPv6 host stands in brackets, as in "[::1]:4001"`, key...)
	}
}

// oneOf refuses values that are not among the choices.
func oneOf(ps *problems, value string, choices []string, key ...string) bool {
	if slices.Contains(choices, value) {
		return true
	}
	ps.add("the value is not known", "choose one of "+strings.Join(choices, ", "), key...)
	return false
}

func (c *checked) checkTLS(ps *problems) {
	t := &c.config.TLS
	if t.Certificate == "" {
		ps.add("it is missing", "name the PEM file with this server's certificate chain", "tls", "certificate")
	}
	if t.Key == "" {
		ps.add("it is missing", "name the PEM file with the certificate's private key", "tls", "key")
	}
	if oneOf(ps, t.ClientAuth, []string{"optional", "require"}, "tls", "client_auth") && t.ClientAuth == "require" && t.ClientCA == "" {
		ps.add("certificates cannot be required without CAs to verify them with", "set tls.client_ca", "tls", "client_auth")
	}
	var err error
	if c.nameRule, err = certs.ParseNameRule(t.ClientName); err != nil {
		ps.add("the value is not known", "choose one of cn, dns, uri, email", "tls", "client_name")
	}
}

func (c *checked) checkSurfaces(ps *problems) {
	c.surfaces = make(map[gate.Surface]acl.Group)
	for _, name := range slices.Sorted(maps.Keys(c.config.Surfaces)) {
		users := c.config.Surfaces[name]
		surface, ok := gate.ParseSurface(name)
		if !ok {
			ps.add("there is no such surface", "members, auth, config, debug and v3 can be opened", "surfaces", name)
			continue
		}
		if len(users) == 0 {
			ps.add("the list is empty", "a surface is opened to named users only; remove the key to close it", "surfaces", name)
		}
		c.config.checkUsers(ps, users, "surfaces", name)
		c.surfaces[surface] = acl.Only(users...)
	}
}

func (c *checked) checkLimits(ps *problems) {
	l := &c.config.Limits
	within := func(value, low, high int64, key string) {
		if value < low || value > high {
			ps.add("it is out of range", fmt.Sprintf("between %d and %d are allowed", low, high), "limits", key)
		}
	}
	positive := func(d Duration, key string) {
		if d <= 0 {
			ps.add("it is not above zero", `write it as in "10s"`, "limits", key)
		}
	}
	positive(l.HeaderTimeout, "header_timeout")
	positive(l.BodyTimeout, "body_timeout")
	positive(l.IdleTimeout, "idle_timeout")
	positive(l.HandshakeTimeout, "handshake_timeout")
	positive(l.Drain, "drain")
	positive(l.UpstreamTimeout, "upstream_timeout")
	positive(l.LoginEvery, "login_every")
	within(int64(l.HeadBytes), 1024, 1<<20, "head_bytes")
	target := int64(maxPlainTarget)
	if c.onlyTLS() {
		target = int64(l.HeadBytes)
	}
	within(int64(l.TargetBytes), 256, target, "target_bytes")
	within(l.BodyBytes, 1024, 1<<30, "body_bytes")
	within(l.BodyMemory, l.BodyBytes+1, 1<<40, "body_memory")
	within(l.Memory, 64<<20, 1<<50, "memory")
	within(int64(l.Connections), 1, 10_000_000, "connections")
	within(int64(l.AddressConnections), 1, 10_000_000, "address_connections")
	within(int64(l.AddressHandshakes), 1, 1_000_000, "address_handshakes")
	within(int64(l.Watches), 1, 10_000_000, "watches")
	within(int64(l.UserWatches), 1, 10_000_000, "user_watches")
	within(int64(l.UpstreamRequests), 1, 1_000_000, "upstream_requests")
	within(int64(l.LoginBurst), 1, 1_000_000, "login_burst")
	within(int64(l.HashWorkers), 1, 1024, "hash_workers")
}

func (c *Config) checkLog(ps *problems) {
	oneOf(ps, c.Log.Format, []string{"combined", "json"}, "log", "format")
	var level slog.Level
	if level.UnmarshalText([]byte(c.Log.Level)) != nil {
		ps.add("the value is not known", "choose one of debug, info, warn, error", "log", "level")
	}
	for key, value := range map[string]string{"access": c.Log.Access, "audit": c.Log.Audit} {
		if value == "" {
			ps.add("it is empty", `choose one of off, stdout, stderr, or name a file`, "log", key)
		}
	}
}
