package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/site"
	"etcd-tlsproxy/cmd/internal/usage"
	"etcd-tlsproxy/proxy/proxytest"
)

// siege is one run.
type siege struct {
	*settings
	dir, self   string
	program     string
	etcdProgram string // empty is the one that is linked in
	noNamespace error  // why there are no IPv6 networks
}

// check refuses flags that would attack nothing and look like success.
func (s *settings) check() (err error) {
	if s.duration <= 0 {
		return usage.Mark(errors.New("reading --duration: it must be above 0"))
	}
	if s.pattern, err = regexp.Compile(s.attacks); err != nil {
		return usage.Mark(fmt.Errorf("reading --attacks: %w", err))
	}
	if s.api != proxytest.V2 && s.api != proxytest.V3 {
		return usage.Mark(fmt.Errorf("reading --api: %q is not an API of etcd, want v2 or v3", s.api))
	}
	if s.embedded && s.etcd != "" {
		return usage.Mark(errors.New("reading --embedded: that etcd has no program; leave out --etcd"))
	}
	if s.v3() && len(s.with) > 0 {
		return usage.Mark(errors.New("reading --with: other servers do not keep keys in a v3 store; leave out --api v3"))
	}
	for _, server := range s.with {
		if server != "nginx" && server != "haproxy" {
			return usage.Mark(fmt.Errorf("reading --with: %q is neither nginx nor haproxy", server))
		}
		if !site.Installed(server) {
			return fmt.Errorf("reading --with: %s is not installed", server)
		}
	}
	if len(s.rows()) == 0 {
		return usage.Mark(fmt.Errorf("reading --attacks: %q matches no row; --list prints their names", s.attacks))
	}
	return nil
}

// v3 reports whether the keys are in a v3 store.
func (s *settings) v3() bool { return s.api == proxytest.V3 }

// plan is a row that is to be measured.
type plan struct {
	scenario            scenario
	protocol, attackers string
	server              string
}

func (p *plan) name() string { return p.scenario.name + "/" + p.protocol + "/" + p.attackers }

// rows returns the selected rows. Other servers are attacked by the attackers of quick runs
// alone: they have no accounts, and four addresses or two hundred make no difference to them.
func (s *settings) rows() (rows []plan) {
	for _, a := range scenarios() {
		for i, protocol := range a.protocols {
			for j, attackers := range a.attackers {
				worst := i == 0 && j == 0
				if s.quick && !worst {
					continue
				}
				p := plan{a, protocol, attackers, ownServer}
				if !s.pattern.MatchString(p.name()) {
					continue
				}
				rows = append(rows, p)
				for _, server := range s.with {
					if worst {
						p.server = server
						rows = append(rows, p)
					}
				}
			}
		}
	}
	return rows
}

// run attacks, and reports.
func (s *settings) run(ctx context.Context, out io.Writer) error {
	if err := s.check(); err != nil {
		return err
	}
	if s.list {
		s.printList(out)
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	k := &siege{settings: s, self: self}
	if inNamespace() {
		if k.noNamespace, err = prepareNamespace(); err != nil {
			return err
		}
	} else {
		ran, err := enterNamespace(ctx, self, os.Args[1:])
		if ran {
			return err
		}
		k.noNamespace = err
	}
	if k.dir, err = os.MkdirTemp("", "etcd-tlsproxy-siege-"); err != nil {
		return err
	}
	if s.keep {
		fmt.Fprintf(out, "files are kept in %s\n", k.dir)
	} else {
		defer os.RemoveAll(k.dir)
	}
	if k.program, err = proxytest.BuildProxy(s.proxy, k.dir); err != nil {
		return err
	}
	if k.etcdProgram = s.etcd; s.etcd == "" && !s.embedded {
		k.etcdProgram = proxytest.ChooseEtcd(s.api)
	}
	description, err := proxytest.DescribeEtcd(k.etcdProgram)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s before %s with the API %s, %d processors, %v of attack in each row\n", k.program, description, s.api, runtime.NumCPU(), s.duration)
	printHead(out)
	rows, err := k.attackAll(ctx, out, s.rows())
	failures := summary(out, rows)
	if s.json != "" {
		err = errors.Join(err, writeJSON(s.json, rows))
	}
	if err == nil && failures > 0 {
		err = fmt.Errorf("%d of %d rows failed", failures, len(rows))
	}
	return err
}

// attackAll measures rows one after the other, and prints each.
func (k *siege) attackAll(ctx context.Context, out io.Writer, plans []plan) (rows []*row, err error) {
	for _, p := range plans {
		r := &row{Name: p.name(), Server: p.server, Scenario: p.scenario.name, Protocol: p.protocol, Attackers: p.attackers, What: p.scenario.what}
		if reason := k.inapplicable(&p.scenario, p.attackers, p.server); reason != "" {
			r.Verdict, r.Reasons = notApplicable, []string{reason}
		} else if err := (&cell{scenario: &p.scenario, siege: k, row: r}).run(ctx); ctx.Err() != nil {
			return rows, ctx.Err()
		} else if err != nil {
			// A row that could not be measured has not passed, and must not hide the others.
			r.Verdict, r.Reasons = failed, append(r.Incidents, fmt.Sprintf("it could not be measured: %v", err))
		}
		rows = append(rows, r)
		r.print(out)
	}
	return rows, nil
}

func writeJSON(file string, rows []*row) error {
	data, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

// printList explains the rows.
func (s *settings) printList(out io.Writer) {
	rows := s.rows()
	for _, a := range scenarios() {
		if !slices.ContainsFunc(rows, func(p plan) bool { return p.scenario.name == a.name }) {
			continue
		}
		fmt.Fprintf(out, "%s: %s\n", a.name, a.what)
		for _, p := range rows {
			if p.scenario.name == a.name && p.server == ownServer {
				fmt.Fprintf(out, "    %-18s %s\n", p.name(), attackersMeaning[p.attackers])
			}
		}
	}
}
