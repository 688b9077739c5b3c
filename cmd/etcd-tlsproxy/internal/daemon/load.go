package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"hash/maphash"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/prometheus/exporter-toolkit/web"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// loader makes a state from the files on disk.
type loader struct {
	file     string
	counters *upstream.Counters
	saved    *atomic.Uint64 // counts reads that were answered by another read's request
	watches  *share.WatchCounters
	hasher   *acl.Hasher  // created with the first configuration, and kept
	seed     maphash.Seed // of the order of discovered endpoints, which is kept as well
}

// loaded is one state of all files.
type loaded struct {
	config    *config.Config
	doc       *config.Document
	snapshot  *lane.Snapshot
	warnings  []string
	text      []byte              // of the configuration file
	ca        []byte              // of upstream.ca
	tls       *tls.Config         // for connections to etcd
	endpoints []upstream.Endpoint // nil until they are discovered
}

// load reads everything. Everything that has not changed is carried over from the previous
// state, so that verified passwords stay cached and connections to etcd stay open. The
// stamps cover all files that load read or tried to read, even if it fails.
func (l *loader) load(ctx context.Context, before *loaded) (*loaded, stamps, error) {
	state, seen, err := l.read(before)
	if err != nil {
		return nil, seen, err
	}
	return state, seen, l.connect(ctx, state, before)
}

// read is the part of load that needs no network.
func (l *loader) read(before *loaded) (*loaded, stamps, error) {
	files := &reader{folder: filepath.Dir(l.file), seen: stamps{}}
	state, err := l.build(files, before)
	return state, files.seen, err
}

func (l *loader) build(files *reader, before *loaded) (*loaded, error) {
	text, err := files.read(l.file)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := config.Parse(l.file, text)
	if err != nil {
		return nil, err
	}
	c.Log.Access, c.Log.Audit = files.logPath(c.Log.Access), files.logPath(c.Log.Audit)
	if c.AdminWebConfig != "" {
		c.AdminWebConfig = files.path(c.AdminWebConfig)
	}
	if before != nil {
		if err := config.CheckRestart(c.Document, before.config, c.Config); err != nil {
			return nil, err
		}
	}
	if l.hasher == nil {
		l.hasher = acl.NewHasher(acl.HasherOptions{Workers: c.Limits.HashWorkers})
	}
	state := &loaded{config: c.Config, doc: c.Document, text: text, endpoints: c.Endpoints}
	errs := c.Document.NewErrors()
	state.snapshot = &lane.Snapshot{
		Policy: gate.Policy{
			Rules: c.Rules, Surfaces: surfaces(c.Surfaces), ReadOnly: c.ReadOnly, MaxTarget: c.Limits.TargetBytes,
			Users: l.loadUsers(files, errs, c.Config, before),
			Certs: loadCerts(files, errs, c, before),
		},
		FastLane: c.FastLane,
		Limits: lane.Limits{
			Head: c.Limits.HeadBytes, Body: c.Limits.BodyBytes,
			HeaderTimeout: c.Limits.HeaderTimeout.Duration(), BodyTimeout: c.Limits.BodyTimeout.Duration(),
		},
	}
	state.loadUpstreamCA(files, errs)
	if err := web.Validate(c.AdminWebConfig); err != nil {
		errs.Add(fmt.Sprintf("%s: %v", c.AdminWebConfig, err), "the file has the web configuration format of Prometheus' exporters", "admin_web_config")
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	state.warnings = slices.Clone(state.snapshot.Certs.Warnings())
	state.checkUsers(errs)
	if err := errs.Err(); err != nil {
		return nil, err
	}
	return state, nil
}

// same reports whether the state serves like the old one.
func (s *loaded) same(old *loaded) bool {
	a, b := s.snapshot, old.snapshot
	return bytes.Equal(s.text, old.text) && a.Users == b.Users && a.Certs == b.Certs && a.Upstream == b.Upstream
}

func (s *loaded) logWarnings(log *slog.Logger) {
	for _, warning := range s.warnings {
		log.Warn("configuration", "warning", warning)
	}
}
