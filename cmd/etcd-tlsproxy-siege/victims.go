package main

import (
	"fmt"
	"strings"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/site"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/victim"
)

// Kinds of victims.
const (
	kindRead  = "read"        // a small read, by nobody in particular
	kindWrite = "write"       // a small write by root
	kindLogin = "login"       // a write by a user whose password was not verified before
	kindLarge = "large write" // a write of 100 KB by root
	kindKnown = "known write" // a small write by a known user whose password was verified before
)

// kindsOf returns the victims of a scenario. Their rates are low, so that they take little of the
// machine, and high enough for a 99th percentile within seconds.
func (a *scenario) kindsOf(attackers, server string) (kinds []victim.Kind) {
	names := a.victims
	if names == nil {
		names = []string{kindRead, kindWrite, kindLogin}
	}
	large := strings.Repeat("x", 100<<10)
	for _, name := range names {
		if attackers == neighbor && (name == kindRead || name == kindLogin) {
			continue // behind one address only those who are known can be told apart
		}
		if server == "haproxy" && name == kindLogin {
			continue // it checks no passwords here
		}
		k := victim.Kind{Name: name}
		switch name {
		case kindRead:
			k.Rate = 40
			k.Request = func(int) *victim.Request { return &victim.Request{Method: "GET", Path: "/v2/keys/siege/small"} }
		case kindWrite:
			k.Rate = 20
			k.Request = func(n int) *victim.Request { return write("/siege/w", n, site.Root, site.RootPassword, "small") }
		case kindLogin:
			k.Rate = 4
			k.Request = func(n int) *victim.Request {
				return write("/siege/logins/l", n, site.Login(n), site.LoginPassword, "small")
			}
		case kindLarge:
			k.Rate = 5
			k.Request = func(n int) *victim.Request { return write("/siege/large-w", n, site.Root, site.RootPassword, large) }
		case kindKnown:
			k.Rate = 20
			k.Request = func(n int) *victim.Request { return write("/conftool/w", n, site.Known, site.KnownPassword, "small") }
		}
		kinds = append(kinds, k)
	}
	return kinds
}

// write returns a write of a key that is one of ten.
func write(key string, n int, user, password, value string) *victim.Request {
	return &victim.Request{Method: "PUT", Path: fmt.Sprintf("/v2/keys%s%d", key, n%10), User: user, Password: password, Value: value}
}
