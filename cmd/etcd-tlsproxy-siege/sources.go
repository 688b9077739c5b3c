package main

import (
	"fmt"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/attack"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/site"
)

// Attackers: who attacks, and from where.
const (
	one       = "one"
	four      = "four"
	network24 = "net24"
	network48 = "net48"
	again     = "again"
	user      = "user"
	neighbor  = "neighbor"
	company   = "company"
)

// attackersMeaning explains the names for --list.
var attackersMeaning = map[string]string{
	one:       "one address",
	four:      "four addresses in networks of their own",
	network24: "256 addresses of one /24",
	network48: "1,000 networks /64 of one /48",
	again:     "one address that reconnects whenever it is cut",
	user:      "one address with the password of a known user, who is not one of the victims",
	neighbor:  "one address, which is also that of the victims, who are known users",
	company:   "four addresses; beside the victims are 120 watchers behind one address, less than their share, which must not be cut",
}

// sources returns the addresses of attackers. They are in other networks than the victims.
func sources(attackers string) (list []string) {
	switch attackers {
	case four, company:
		for i := range 4 {
			list = append(list, fmt.Sprintf("127.1.%d.1", i+1))
		}
	case network24:
		for i := range 256 {
			list = append(list, fmt.Sprintf("127.1.9.%d", i))
		}
	case network48:
		for i := range 1000 {
			list = append(list, fmt.Sprintf("fd51:e9e:1:%x::1", i))
		}
	default:
		list = []string{"127.1.1.1"}
	}
	return list
}

// spec returns what the attackers of a row do.
func (a *scenario) spec(protocol, attackers string) attack.Spec {
	s := attack.Spec{
		Attack: a.attack, Protocol: protocol, Sources: sources(attackers), Reconnect: attackers == again, Folder: "/eventlogging",
	}
	if attackers == user {
		s.User, s.Password, s.Folder = site.Known, site.KnownPassword, "/conftool"
	}
	return s
}
