package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/site"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/victim"
)

// cell is one row of the table while it is measured.
type cell struct {
	*scenario
	siege  *siege
	row    *row
	dir    string
	files  *site.Files
	etcd   *site.Etcd
	server *site.Server
	fleet  *attackers // beside the victims; nil if there is none
	beats  int        // calls of beside
	// attacked is set while the attack is in full effect.
	attacked bool

	expires time.Time // the certificate of the attacker
	secrets int       // writes of the restricted key after that
}

// ownServer is the name of this proxy in reports.
const ownServer = "etcd-tlsproxy"

// start starts an etcd and the row's server in front of it.
func (c *cell) start() (etcd *site.Etcd, s *site.Server, err error) {
	dir, err := os.MkdirTemp(c.dir, c.row.Server+"-")
	if err != nil {
		return nil, nil, err
	}
	if etcd, err = c.files.StartEtcd(dir, site.EtcdOptions{Program: c.siege.etcdProgram, Self: c.siege.self, V3: c.siege.v3(), Secure: c.secure, Quota: c.quota}); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			etcd.Close()
		}
	}()
	if err := etcd.Fill(); err != nil {
		return nil, nil, err
	}
	o := site.Options{Dir: dir, Etcd: etcd, Program: c.siege.program, Limits: c.limits, AllAddresses: inNamespace()}
	if c.memory > 0 {
		o.Limits += fmt.Sprintf("memory = %d\n", c.memory)
	}
	if c.clientCA {
		o.TLS = fmt.Sprintf("client_ca = %q\n", c.files.Path("ca.crt"))
	}
	if c.secure {
		o.Upstream = fmt.Sprintf("ca = %q\n", c.files.Path("ca.crt"))
	}
	if c.quota > 0 {
		o.Upstream += fmt.Sprintf("quota_bytes = %d\n", c.quota)
	}
	switch c.row.Server {
	case "nginx":
		s, err = c.files.StartNginx(o)
	case "haproxy":
		s, err = c.files.StartHAProxy(o)
	default:
		s, err = c.files.StartProxy(o)
	}
	return etcd, s, err
}

// run measures the row.
func (c *cell) run(ctx context.Context) (err error) {
	if c.dir, err = os.MkdirTemp(c.siege.dir, "row-"); err != nil {
		return err
	}
	if !c.siege.keep {
		defer os.RemoveAll(c.dir)
	}
	if c.files, err = site.NewFiles(c.dir); err != nil {
		return err
	}
	if c.etcd, c.server, err = c.start(); err != nil {
		return err
	}
	defer func() {
		c.server.Kill()
		c.etcd.Close()
	}()
	c.row.MemoryLimit = c.memoryLimit(c.row.Server)
	if c.attack == "" {
		return c.conclude()
	}
	group := c.newVictims()
	living, stop := context.WithCancel(ctx)
	defer stop()
	group.Enter(quiet)
	group.Start(living)
	err = c.phases(ctx, group)
	stop()
	group.Wait()
	c.row.Victims = make(map[string]map[string]*figures)
	for _, phase := range []string{quiet, control, arriving, under, after} {
		c.row.Victims[phase] = figuresOf(group.Figures(phase))
	}
	if err != nil {
		return err
	}
	return c.conclude()
}

// duration returns how long the attack lasts.
func (c *cell) duration() time.Duration { return max(c.siege.duration, c.least) }

// newVictims returns the victims, who have not started yet.
func (c *cell) newVictims() *victim.Group {
	from := victimAddress
	if c.row.Attackers == neighbor {
		from = sources(neighbor)[0]
	}
	return &victim.Group{
		Kinds: c.kindsOf(c.row.Attackers, c.row.Server),
		Client: &victim.Client{Address: c.server.Address, From: net.ParseIP(from), TLS: &tls.Config{
			RootCAs: c.files.Pool(), ServerName: "localhost", CurvePreferences: []tls.CurveID{tls.X25519},
		}},
	}
}

// conclude fills in the verdict.
func (c *cell) conclude() error {
	var reasons []string
	if c.attack != "" {
		allowed := c.allowed
		if c.siege.bounds {
			allowed = 0
		}
		reasons = c.row.judge(allowed)
	}
	reasons = append(reasons, c.row.Incidents...)
	if c.check != nil {
		achieved, err := c.check(c)
		if err != nil {
			return err
		}
		if achieved != "" {
			reasons = append(reasons, achieved)
		}
	}
	if c.note != nil {
		c.row.Notes = append(c.row.Notes, c.note(c))
	}
	c.row.Verdict, c.row.Reasons = passed, reasons
	if len(reasons) > 0 {
		c.row.Verdict = failed
	}
	return nil
}

// inapplicable returns why a row cannot be measured, or "".
func (s *siege) inapplicable(a *scenario, attackers, server string) string {
	switch {
	case server != ownServer && a.only != "":
		return a.only
	case attackers == network48 && s.noNamespace != nil:
		return "IPv6 networks need a network namespace: " + s.noNamespace.Error()
	case a.onlyV3 != "" && !s.v3():
		return a.onlyV3
	case a.never != "":
		return a.never
	}
	return ""
}
