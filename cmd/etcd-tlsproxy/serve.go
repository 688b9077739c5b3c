package main

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/explain"
	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/observe"
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the front end",
		Long: `Runs the front end until SIGTERM or SIGINT, then drains: the readiness check
fails, no connection is accepted, running requests finish, watches are broken off
so that their clients connect elsewhere, and the program exits with 0.

If the service manager passes sockets (systemd.socket), those are served instead of
the configured addresses: the one with FileDescriptorName=admin instead of admin, all
others instead of listen. They stay open while one process follows another, so that
an upgrade refuses no connection. The manager is told of the start, of reloads and of
the end (Type=notify or notify-reload), and its watchdog is served (WatchdogSec=).

Changes to the configuration, the htpasswd files, the certificates and the client
CAs are taken over within two seconds, and at once on SIGHUP or on POST /-/reload
at the admin address: all of them together or, if anything is wrong, none; the old
state then serves on. SIGHUP also opens log files again.

If etcd's endpoints are found in DNS (upstream.srv), a change of its records is
taken over within upstream.srv_refresh, and at once at each of these reloads. If
DNS does not answer, the endpoints that were found before serve on.`,
		Args: cobra.NoArgs,
	}
	file := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		// Before anything is loaded: the default action of SIGHUP ends the process.
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		// The default action ends the process when a log's reader is gone, as a journal that
		// crashes: a write that fails is all that should come of it.
		signal.Ignore(syscall.SIGPIPE)
		return serve(cmd.Context(), *file, hangup, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// serve runs the service that a configuration file describes until ctx ends.
func serve(ctx context.Context, file string, hangup <-chan os.Signal, stdout, stderr io.Writer) error {
	metrics := observe.NewMetrics(version())
	loader := &loader{
		file: file, counters: metrics.Upstream, saved: &metrics.SharedReads, watches: metrics.Watches, draw: maphash.MakeSeed(),
	}
	first, seen, err := loader.load(ctx, nil)
	if err != nil {
		return err
	}
	config := first.config
	logs, err := openLogs(&config.Log, stdout, stderr)
	if err != nil {
		return err
	}
	defer logs.close()
	debug.SetMemoryLimit(config.Limits.Memory)
	server := proxy.NewServer(proxy.Options{
		RawSockets: true,
		Snapshot:   first.snapshot,
		Observer:   observe.New(metrics, logs.records),
		Log:        logs.service,
		Throttle: acl.NewThrottle(acl.ThrottleOptions{
			Burst: config.Limits.LoginBurst,
			Every: config.Limits.LoginEvery.Duration(),
		}),
		MaxConnections:        config.Limits.Connections,
		MaxAddressConnections: config.Limits.AddressConnections,
		MaxAddressHandshakes:  config.Limits.AddressHandshakes,
		MaxMemory:             uint64(config.Limits.Memory),
		MaxWatches:            config.Limits.Watches,
		MaxUserWatches:        config.Limits.UserWatches,
		MaxBodyMemory:         config.Limits.BodyMemory,
		HandshakeTimeout:      config.Limits.HandshakeTimeout.Duration(),
		IdleTimeout:           config.Limits.IdleTimeout.Duration(),
	})
	metrics.Reloaded(first.snapshot.Certs, nil)
	first.warn(logs.service)
	manager := &manager{logs.service}
	reloader := &reloader{loader: loader, manager: manager, current: first, server: server, metrics: metrics, logs: logs, seen: seen, again: make(chan struct{}, 1)}

	reloader.tell(first, nil)

	sockets, err := openSockets(config)
	if err != nil {
		return err
	}
	ready := func() error {
		if server.Draining() {
			return errors.New("draining")
		}
		return nil
	}
	group, failed := errgroup.WithContext(ctx)
	page := newStatusPage(server, reloader, sockets.addresses(), config.Admin)
	admin := &http.Server{
		Handler:           newAdmin(metrics.Registry, ready, func() error { return reloader.reload(failed) }, page, explain.Handler(func() *gate.Policy { return &server.Snapshot().Policy })),
		ReadHeaderTimeout: 10 * time.Second, // as for clients: nobody needs longer
		IdleTimeout:       5 * time.Minute,  // Prometheus scrapes at least once a minute
	}
	if config.Upstream.SRV != "" {
		logs.service.Info("endpoints were found", "domain", config.Upstream.SRV, "endpoints", first.endpoints)
	}
	logs.service.Info("serving", "version", version(), "listen", strings.Join(sockets.addresses(), ","), "admin", sockets.admin.Addr().String(), "inherited", sockets.inherited)

	for _, listener := range sockets.front {
		group.Go(func() error { return server.Serve(listener) })
	}
	group.Go(func() error { return manager.watchdog(failed, sockets.admin.Addr()) })
	group.Go(func() error {
		if err := admin.Serve(sockets.admin); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving the admin: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		reloader.run(failed, hangup)
		// The end of all: the signal to stop came, or a listener failed.
		manager.stopping()
		logs.service.Info("draining", "for", config.Limits.Drain.String())
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), config.Limits.Drain.Duration())
		defer cancel()
		if err := server.Drain(drain); err != nil {
			logs.service.Warn("requests were cut: they did not finish within limits.drain")
		}
		server.Snapshot().Upstream.Close()
		return admin.Close()
	})
	manager.serving(nil)
	err = group.Wait()
	logs.service.Info("stopped")
	return err
}
