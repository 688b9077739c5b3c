package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/explain"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/preflight"
	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/observe"
)

// Options describes a service.
type Options struct {
	// File is the path of the configuration.
	File string
	// Version is shown in the log, in the metrics and on the status page.
	Version string
	// Hangup requests reloads; the kind of signal does not matter.
	Hangup <-chan os.Signal
	// Stdout and Stderr receive the logs that the configuration sends there.
	Stdout, Stderr io.Writer
}

// service holds the parts of a running service.
type service struct {
	version  string
	config   *config.Config // at the start
	logs     *logs
	server   *proxy.Server
	reloader *reloader
	sockets  *sockets
	admin    *http.Server
	manager  *manager
}

// Run serves until ctx ends or a listener fails, and then drains.
func Run(ctx context.Context, o Options) error {
	s, first, err := load(ctx, &o)
	if err != nil {
		return err
	}
	defer s.logs.close()
	defer s.reloader.close()
	if s.sockets, err = openSockets(s.config); err != nil {
		return err
	}
	group, running := errgroup.WithContext(ctx)
	s.newAdmin(running)
	s.logStart(first)
	for _, listener := range s.sockets.front {
		group.Go(func() error { return s.server.Serve(listener) })
	}
	group.Go(s.serveAdmin)
	group.Go(func() error {
		return s.manager.watchdog(running, s.sockets.admin.Addr(), s.config.AdminWebConfig != "")
	})
	group.Go(func() error {
		s.reloader.run(running, o.Hangup)
		// The context has ended: a signal to stop arrived, or a listener failed.
		return s.drain(context.WithoutCancel(ctx))
	})
	s.manager.serving(nil)
	err = group.Wait()
	s.logs.service.Info("stopped")
	s.logs.records.Flush()
	s.logs.records.Note("stop")
	return err
}

// load loads all files and makes everything that needs no socket.
func load(ctx context.Context, o *Options) (*service, *loaded, error) {
	metrics := observe.NewMetrics(o.Version)
	loader := &loader{
		file: o.File, version: o.Version, process: rand.Text(), files: preflight.OpenFiles(), counters: metrics.Upstream, saved: &metrics.SharedReads, watches: metrics.Watches, seed: maphash.MakeSeed(),
	}
	first, seen, err := loader.load(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	if err := preflight.CheckStart(ctx, first.config, first.doc, false); err != nil {
		return nil, nil, err
	}
	logs, err := openLogs(&first.config.Log, o.Stdout, o.Stderr)
	if err != nil {
		return nil, nil, err
	}
	loader.log = logs.service
	s := &service{version: o.Version, config: first.config, logs: logs, manager: &manager{logs.service}}
	s.reloader = &reloader{
		loader: loader, metrics: metrics, logs: logs, manager: s.manager,
		current: first, seen: seen, refreshNow: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	s.reloader.mu.Lock() // until there is a server that another API can be put into use for
	defer s.reloader.mu.Unlock()
	loader.switched, loader.stale = s.reloader.switched, s.reloader.stale
	metrics.Watches.OtherCluster = logs.otherCluster
	if err := loader.openStore(ctx, first, nil); err != nil {
		return nil, nil, errors.Join(err, logs.close())
	}
	debug.SetMemoryLimit(first.config.Limits.Memory)
	s.server = newServer(first, preflight.Connections(first.config, loader.files), metrics, logs)
	s.reloader.server = s.server
	s.reloader.serving.Store(s.server)
	s.reloader.publishStatus(first, true, nil)
	s.reloader.publishMetrics(nil)
	first.logWarnings(logs.service)
	return s, first, nil
}

// newServer makes the front end from the settings that need a restart, and the connections that
// it can have.
func newServer(first *loaded, connections int, metrics *observe.Metrics, logs *logs) *proxy.Server {
	limits := &first.config.Limits
	return proxy.NewServer(proxy.Options{
		Snapshot:              first.snapshot,
		RawSockets:            first.config.RawSockets,
		Observer:              observe.New(metrics, logs.records),
		Log:                   logs.service,
		Throttle:              acl.NewThrottle(acl.ThrottleOptions{Burst: limits.LoginBurst, Every: limits.LoginEvery.Duration()}),
		MaxConnections:        connections,
		MaxAddressConnections: limits.AddressConnections,
		MaxAddressHandshakes:  limits.AddressHandshakes,
		MaxMemory:             uint64(limits.Memory),
		MaxWatches:            limits.Watches,
		MaxUserWatches:        limits.UserWatches,
		MaxBodyMemory:         limits.BodyMemory,
		HashWorkers:           limits.HashWorkers,
		HandshakeTimeout:      limits.HandshakeTimeout.Duration(),
		IdleTimeout:           limits.IdleTimeout.Duration(),
	})
}

// newAdmin makes the server of the admin address. Its reloads end with running.
func (s *service) newAdmin(running context.Context) {
	s.admin = &http.Server{
		Handler: adminHandler(&adminOptions{
			registry:  s.reloader.metrics.Registry,
			ready:     s.ready,
			reload:    func() error { return s.reloader.reload(running) },
			pending:   func() []string { return s.reloader.lastAttempt.Load().RestartPending },
			checkLogs: s.logs.check,
			readyEtcd: s.readyEtcd, empty: s.empty, profiles: s.config.AdminProfiles,
			page:    s.statusPage(),
			config:  s.reloader.showConfig,
			explain: explain.Handler(func() *gate.Policy { return &s.server.Snapshot().Policy }),
		}),
		ErrorLog:          slog.NewLogLogger(s.logs.service.Handler(), slog.LevelDebug), // what its clients do wrong
		ReadHeaderTimeout: 10 * time.Second,                                             // the default for clients
		IdleTimeout:       5 * time.Minute,                                              // Prometheus scrapes at least once a minute
	}
}

// ready reports why the service should receive no new connections, or nil.
func (s *service) ready() error {
	switch {
	case s.server.Draining():
		return errors.New("draining")
	case s.server.Emptying():
		return errors.New("emptying, by POST /-/drain?on")
	}
	return nil
}

// readyEtcd is like ready, and also requires an etcd that is up and knows its leader. The
// members are probed at most every three seconds.
func (s *service) readyEtcd() error {
	if err := s.ready(); err != nil {
		return err
	}
	status := s.server.Status()
	for i := range status.Stores {
		if store := &status.Stores[i]; !store.Serving {
			return fmt.Errorf("the store is not served: %s", store.Reason)
		}
	}
	upstream := status.Upstream
	up := slices.ContainsFunc(upstream.Endpoints, func(e observe.EndpointStatus) bool { return e.Health == "up" })
	switch {
	case !up:
		return errors.New("no etcd is available")
	case upstream.Leader == "" && upstream.LeaderID == "":
		return errors.New("etcd has no leader")
	}
	return nil
}

// empty makes clients leave, or stops that.
func (s *service) empty(on bool) {
	before := s.server.Emptying()
	s.server.Empty(on)
	switch {
	case on == before:
	case on:
		s.logs.service.Info("emptying: clients are made to leave, by POST /-/drain?on")
	default:
		s.logs.service.Info("emptying has ended: clients are served as before, by POST /-/drain?off")
	}
}

func (s *service) logStart(first *loaded) {
	if domain := s.config.Upstream.SRV; domain != "" {
		s.logs.service.Info("endpoints were found", "domain", domain, "endpoints", endpointsOf(first))
	}
	table, rules := tableOf(first)
	s.logs.records.Note("start", slog.String("version", s.version), slog.String("table", table), slog.Any("rules", rules))
	s.logs.service.Info("serving", "version", s.version, "listen", strings.Join(s.sockets.addresses(), ","),
		"admin", s.sockets.admin.Addr().String(), "inherited", s.sockets.inherited, "table", table)
}

// drain lets running requests finish. The admin address answers until the end, so
// that the readiness check can be seen to fail.
func (s *service) drain(ctx context.Context) error {
	s.manager.stopping()
	s.logs.service.Info("draining", "for", s.config.Limits.Drain.String())
	ctx, cancel := context.WithTimeout(ctx, s.config.Limits.Drain.Duration())
	defer cancel()
	if err := s.server.Drain(ctx); err != nil {
		s.logs.service.Warn("requests were cut off: they did not finish within limits.drain")
	}
	s.server.Snapshot().Upstream.Close()
	return s.admin.Close()
}
