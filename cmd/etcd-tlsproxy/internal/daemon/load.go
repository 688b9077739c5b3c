package daemon

import (
	"bytes"
	"context"
	"hash/maphash"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/files"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/preflight"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/shadow"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/changeover"
)

// loader makes a state from the files on disk.
type loader struct {
	file     string
	version  string // of the program
	process  string // names this process; "" if it does not serve
	files    int64  // that this process may have open; 0 if it does not serve
	counters *upstream.Counters
	saved    *atomic.Uint64 // counts reads that were answered by another read's request
	watches  *share.WatchCounters
	compared shadow.Counts // of all shadows, one after the other
	log      *slog.Logger  // nil until the logs are open
	hasher   *acl.Hasher   // created with the first configuration, and kept
	seed     maphash.Seed  // of the order of discovered endpoints, which is kept as well
	switched func()        // is called when another API has the keys
	stale    func()        // is called when it is not known any more which one has them
	began    time.Time     // when the last load began: a file that was changed later may not be part of it
}

// loaded is one state of all files.
type loaded struct {
	config    *config.Config
	doc       *config.Document // with the rules in force
	onDisk    *config.Document // that was read last, with the other settings in force
	snapshot  *lane.Snapshot
	ofTable   *acl.Users // who were valid together with the rules in force
	old       units      // what was not valid on disk, and is in force as before
	pending   []config.Pending
	warnings  []string
	text      []byte // of the configuration file
	origin    origin
	endpoints []upstream.Endpoint // nil until they are discovered
	store     *v2v3.Store         // in use; nil with the v2 API
	successor *successor          // nil unless another store takes its place soon
	// changeover says whether the v2 API or the store has the keys; nil if the configuration does.
	changeover *changeover.Proxy
	version    string // of the program
	process    string // names this process; "" if it does not serve
	// shadow compares answers; nil if that is off, or if the store serves. Its endpoints are nil if they are those of etcd.
	shadow          *shadow.Shadow
	shadowEndpoints []upstream.Endpoint
}

// load reads everything. Everything that has not changed is carried over from the previous
// state, so that verified passwords stay cached and connections to etcd stay open. Without
// a previous state everything must be valid. Otherwise each unit that is not valid keeps
// its previous state; see [loader.build]. The stamps cover all files that load read or tried
// to read, even if it fails.
func (l *loader) load(ctx context.Context, before *loaded) (*loaded, files.Stamps, error) {
	l.began = time.Now()
	disk := l.disk()
	state, err := l.build(disk, before, func(state *loaded) error { return l.connect(ctx, state, before) })
	return state, disk.Seen(), err
}

// disk returns a reader of the files that the configuration names.
func (l *loader) disk() *files.Reader { return files.NewReader(filepath.Dir(l.file)) }

// read is load without a previous state and without the network.
func (l *loader) read() (*loaded, error) {
	disk := l.disk()
	return l.build(disk, nil, func(*loaded) error { return nil })
}

// assemble makes a state of one configuration and the files that it names. The units in old
// are taken from the previous state.
func (l *loader) assemble(disk *files.Reader, doc *config.Document, merged *config.Config, before *loaded, old *units) (*loaded, error) {
	var pending []config.Pending
	if before != nil {
		pending = merged.KeepRestart(before.config)
	}
	c, err := config.Check(doc, merged)
	if err != nil {
		return nil, err
	}
	c.Log.Access, c.Log.Audit = disk.LogPath(c.Log.Access), disk.LogPath(c.Log.Audit)
	if l.hasher == nil {
		l.hasher = acl.NewHasher(acl.HasherOptions{})
	}
	state := &loaded{version: l.version, process: l.process, config: c.Config, doc: doc, onDisk: doc, old: *old, pending: pending, endpoints: c.Endpoints, shadowEndpoints: c.ShadowEndpoints}
	errs := c.Document.NewErrors()
	state.snapshot = &lane.Snapshot{
		Policy:   gate.Policy{ReadOnly: c.ReadOnly, MaxTarget: c.Limits.TargetBytes, EtcdUsers: etcdUsers(&c.Upstream)},
		FastLane: c.FastLane, Balancers: c.Balancers,
		Limits: lane.Limits{
			Head: c.Limits.HeadBytes, Body: c.Limits.BodyBytes,
			HeaderTimeout: c.Limits.HeaderTimeout.Duration(), BodyTimeout: c.Limits.BodyTimeout.Duration(),
		},
	}
	p := &state.snapshot.Policy
	if old.settings[config.Access] {
		state.doc = before.doc
		p.Rules, p.Surfaces = before.snapshot.Rules, before.snapshot.Surfaces
	} else {
		p.Rules, p.Surfaces = c.Rules, surfaces(c.Surfaces)
	}
	var inFiles *acl.Users
	inFiles, p.Users, p.Waiting = l.loadUsers(disk, errs, c.Config, before, old)
	if state.ofTable = p.Users; old.settings[config.Access] {
		state.ofTable = before.ofTable
	}
	if old.certificates {
		p.Certs = before.snapshot.Certs
	} else {
		p.Certs = loadCerts(disk, errs, c, before)
	}
	if old.settings[config.Others] {
		state.origin.loadAgain(disk, c, before)
		state.endpoints = before.endpoints
	} else {
		state.origin.load(disk, errs, c)
		checkAdminWeb(disk, errs, c.AdminWebConfig)
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	state.warnings = slices.Concat(p.Certs.Warnings(), state.origin.warnings)
	state.checkUsers(inFiles)
	state.checkPrefixes()
	state.checkEtcdUsers()
	if l.files > 0 {
		state.checkFiles(l.files)
	}
	return state, nil
}

// checkFiles warns of connections that do not fit into so many open files.
func (s *loaded) checkFiles(most int64) {
	if text := preflight.AdviseFiles(s.config, s.doc, most); text != "" {
		s.warnings = append(s.warnings, text)
	}
}

// same reports whether the state serves like the old one.
func (s *loaded) same(old *loaded) bool {
	a, b := s.snapshot, old.snapshot
	return bytes.Equal(s.text, old.text) && s.old.equal(&old.old) && a.Users == b.Users && a.Waiting == b.Waiting && a.Certs == b.Certs && a.Upstream == b.Upstream && a.Origin == b.Origin && a.Shadow == b.Shadow
}

func (s *loaded) logWarnings(log *slog.Logger) {
	for _, warning := range s.warnings {
		log.Warn("configuration", "warning", warning)
	}
}
