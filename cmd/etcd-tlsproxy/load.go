package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// loader makes a state of the files on disk.
type loader struct {
	file     string
	counters *upstream.Counters
	saved    *atomic.Uint64 // reads that etcd was not asked for
	watches  *share.WatchCounters
	hasher   *acl.Hasher  // made with the first configuration, kept across reloads
	draw     maphash.Seed // for the order of discovered endpoints, which is kept as well
}

// loaded is one state of all files.
type loaded struct {
	config    *Config
	doc       *document
	snapshot  *lane.Snapshot
	warnings  []string
	text      []byte              // of the configuration file
	ca        []byte              // of upstream.ca
	tls       *tls.Config         // towards etcd
	endpoints []upstream.Endpoint // nil if they are still to be discovered
}

// load reads everything. What has not changed since the state before is taken
// over from it, so that verified passwords stay remembered and connections to
// etcd stay open. The stamps tell which files were wanted, also if it fails.
func (l *loader) load(ctx context.Context, before *loaded) (*loaded, stamps, error) {
	state, seen, err := l.read(before)
	if err != nil {
		return nil, seen, err
	}
	return state, seen, l.connect(ctx, state, before)
}

// read is load without the way to etcd: all that needs no network.
func (l *loader) read(before *loaded) (*loaded, stamps, error) {
	files := &reader{folder: filepath.Dir(l.file), seen: stamps{}}
	state, err := l.build(files, before)
	return state, files.seen, err
}

func (l *loader) build(files *reader, before *loaded) (*loaded, error) {
	text, err := files.read(l.file)
	if err != nil {
		return nil, err
	}
	c, doc, err := parseConfig(l.file, text)
	if err != nil {
		return nil, err
	}
	c.config.Log.Access, c.config.Log.Audit = files.logPath(c.config.Log.Access), files.logPath(c.config.Log.Audit)
	if before != nil {
		if err := needsRestart(doc, before.config, c.config); err != nil {
			return nil, err
		}
	}
	if l.hasher == nil {
		l.hasher = acl.NewHasher(acl.HasherOptions{Workers: c.config.Limits.HashWorkers})
	}
	state := &loaded{config: c.config, doc: doc, text: text, endpoints: c.endpoints}
	ps := &problems{doc: doc}
	limits := &c.config.Limits
	state.snapshot = &lane.Snapshot{
		Policy: gate.Policy{
			Rules: c.rules, Surfaces: c.surfaces, ReadOnly: c.config.ReadOnly, MaxTarget: limits.TargetBytes,
			Users: l.loadUsers(files, ps, c.config, before),
			Certs: loadCerts(files, ps, c, before),
		},
		FastLane: c.config.FastLane,
		Limits: lane.Limits{
			Head: limits.HeadBytes, Body: limits.BodyBytes,
			HeaderTimeout: limits.HeaderTimeout.Duration(), BodyTimeout: limits.BodyTimeout.Duration(),
		},
	}
	state.loadUpstreamCA(files, ps)
	if err := ps.err(); err != nil {
		return nil, err
	}
	state.warnings = slices.Clone(state.snapshot.Certs.Warnings())
	state.checkKnown(ps)
	if err := ps.err(); err != nil {
		return nil, err
	}
	return state, nil
}

// reader reads files and remembers in which state it found them.
type reader struct {
	folder string
	seen   stamps
}

func (r *reader) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.folder, name)
}

// logPath leaves the words that stand for no file as they are.
func (r *reader) logPath(where string) string {
	switch where {
	case "off", "stdout", "stderr":
		return where
	}
	return r.path(where)
}

// read takes the stamp first: a change while the file is read shows later.
func (r *reader) read(path string) ([]byte, error) {
	r.seen[path] = stampOf(path)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a file: %w", err)
	}
	return data, nil
}

// readFor reads a file that a key names.
func (r *reader) readFor(ps *problems, name string, key ...string) ([]byte, bool) {
	data, err := r.read(r.path(name))
	if err != nil {
		hint := "check the path and that the service's user may read it"
		var wrong *os.PathError
		if errors.As(err, &wrong) {
			err = wrong.Err // the path follows
		}
		ps.add(fmt.Sprintf("%s cannot be read: %v", r.path(name), err), hint, key...)
		return nil, false
	}
	return data, true
}

func (l *loader) loadUsers(files *reader, ps *problems, c *Config, before *loaded) *acl.Users {
	var sources []acl.Source
	for _, name := range c.Auth.Htpasswd {
		if data, ok := files.readFor(ps, name, "auth", "htpasswd"); ok {
			sources = append(sources, acl.Source{Name: files.path(name), Data: data})
		}
	}
	users, err := acl.ParseUsers(l.hasher, sources...)
	if err != nil {
		ps.addAll(err, "auth", "htpasswd")
		return nil
	}
	if before != nil && before.snapshot.Users.Equal(users) {
		return before.snapshot.Users
	}
	return users
}

func loadCerts(files *reader, ps *problems, c *checked, before *loaded) *certs.Generation {
	t := &c.config.TLS
	o := certs.Options{Require: t.ClientAuth == "require", Name: c.nameRule, NextProtos: proxy.NextProtos()}
	good := true
	pem := func(name, key string) certs.PEM {
		data, ok := files.readFor(ps, name, "tls", key)
		good = good && ok
		return certs.PEM{File: files.path(name), Data: data}
	}
	o.Certificate, o.Key = pem(t.Certificate, "certificate"), pem(t.Key, "key")
	if t.ClientCA != "" {
		o.ClientCA = pem(t.ClientCA, "client_ca")
	}
	if !good {
		return nil
	}
	generation, err := certs.New(o)
	if err != nil {
		ps.add(err.Error(), "", "tls")
		return nil
	}
	if before != nil && before.snapshot.Certs.Equal(generation) {
		return before.snapshot.Certs
	}
	return generation
}

// share goes on sharing what goes through the same pool, or begins anew with
// another: who waits at the old one keeps waiting there.
func (s *loaded) share(l *loader, before *loaded) {
	same := before != nil && before.snapshot.Upstream == s.snapshot.Upstream
	if s.config.ShareReads {
		if same && before.snapshot.Reads != nil {
			s.snapshot.Reads = before.snapshot.Reads
		} else {
			s.snapshot.Reads = share.NewReads(s.snapshot.Upstream, l.saved)
		}
	}
	if s.config.ShareWatches {
		if same && before.snapshot.Watches != nil {
			s.snapshot.Watches = before.snapshot.Watches
		} else {
			s.snapshot.Watches = share.NewWatches(share.WatchOptions{Pool: s.snapshot.Upstream, Counters: l.watches})
		}
	}
}

// same reports whether nothing that matters has changed.
func (s *loaded) same(old *loaded) bool {
	a, b := s.snapshot, old.snapshot
	return bytes.Equal(s.text, old.text) && a.Users == b.Users && a.Certs == b.Certs && a.Upstream == b.Upstream
}

func (s *loaded) warn(log *slog.Logger) {
	for _, warning := range s.warnings {
		log.Warn("configuration", "warning", warning)
	}
}
