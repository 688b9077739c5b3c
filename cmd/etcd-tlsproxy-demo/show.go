package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// show runs etcd and the proxy, and prints the commands to try. It returns when ctx ends.
func show(ctx context.Context, listen, dir string, out io.Writer) (err error) {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listening: %w; if the port is in use, choose another one with --listen", err)
	}
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: filepath.Join(dir, "etcd")})
	if err != nil {
		return errors.Join(fmt.Errorf("starting etcd: %w", err), listener.Close())
	}
	defer etcd.Close()
	metrics := observe.NewMetrics("demo")
	snapshot, err := newSnapshot(dir, etcd.URL(), metrics)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer snapshot.Upstream.Close()
	server := proxy.NewServer(proxy.Options{
		RawSockets:     true,
		Snapshot:       snapshot,
		Observer:       observe.New(metrics, &observe.Records{}),
		Log:            slog.New(slog.DiscardHandler),
		Throttle:       acl.NewThrottle(acl.ThrottleOptions{}),
		MaxConnections: 1000,
		// All clients of the demo come from this machine.
		MaxAddressConnections: 1000,
		MaxAddressHandshakes:  1000,
		MaxWatches:            1000,
		MaxUserWatches:        1000,
		MaxBodyMemory:         128 << 20,
		HandshakeTimeout:      10 * time.Second,
		IdleTimeout:           time.Hour,
	})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Fprint(out, guide("https://"+listener.Addr().String(), filepath.Join(dir, "ca.crt")))
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	// Ctrl-C should end the demo within two seconds, even if a watch still waits.
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 200*time.Millisecond)
	defer cancel()
	_ = server.Drain(drain) // its error only means that some connections had to be closed
	return err
}

// newSnapshot makes the keys, the users and the rules. It writes the CA to dir.
func newSnapshot(dir, endpoint string, metrics *observe.Metrics) (*lane.Snapshot, error) {
	pki, err := proxytest.NewPKI()
	if err != nil {
		return nil, err
	}
	if err := pki.WriteCA(filepath.Join(dir, "ca.crt")); err != nil {
		return nil, err
	}
	cert, key, err := pki.Server("localhost", "127.0.0.1", "::1")
	if err != nil {
		return nil, err
	}
	generation, err := certs.New(certs.Options{
		Certificate: certs.PEM{File: "demo certificate", Data: cert},
		Key:         certs.PEM{File: "demo key", Data: key},
		NextProtos:  proxy.NextProtos(true),
	})
	if err != nil {
		return nil, err
	}
	passwords, err := proxytest.Htpasswd(map[string]string{"root": "root-demo", "conftool": "conftool-demo"})
	if err != nil {
		return nil, err
	}
	users, err := acl.ParseUsers(acl.NewHasher(acl.HasherOptions{}), acl.Source{Name: "demo users", Data: passwords})
	if err != nil {
		return nil, err
	}
	everyone := acl.Everyone()
	rules, err := acl.NewRules(acl.MatchSegments,
		acl.Rule{Prefix: acl.Root, Read: everyone, Write: acl.Only("root")},
		acl.Rule{Prefix: "/conftool", Read: everyone, Write: acl.Only("root", "conftool")},
		acl.Rule{Prefix: "/eventlogging", Read: everyone, Write: everyone},
	)
	if err != nil {
		return nil, err
	}
	at, err := upstream.ParseEndpoint(endpoint)
	if err != nil {
		return nil, err
	}
	pool, err := upstream.New(upstream.Options{RawSockets: true, Endpoints: []upstream.Endpoint{at}})
	if err != nil {
		return nil, err
	}
	return &lane.Snapshot{
		Policy:   gate.Policy{Rules: rules, Users: users, Certs: generation, MaxTarget: 4000},
		Upstream: pool,
		FastLane: true,
		Reads:    share.NewReads(pool, &metrics.SharedReads),
		Watches:  share.NewWatches(share.WatchOptions{Pool: pool, Counters: metrics.Watches}),
		Limits: lane.Limits{
			Head: 32 << 10, Body: 10 << 20, HeaderTimeout: 10 * time.Second, BodyTimeout: 30 * time.Second,
		},
	}, nil
}

// guide returns what the demo prints: a line that says it is ready, and commands to try.
func guide(url, ca string) string {
	return fmt.Sprintf(`ready %[1]s

# everyone may read
curl --cacert %[2]s '%[1]s/v2/keys/?recursive=true'
# conftool may write below /conftool
curl --cacert %[2]s -u conftool:conftool-demo -X PUT -d value=pooled %[1]s/v2/keys/conftool/v1/mw1001
# but not elsewhere (401)
curl --cacert %[2]s -u conftool:conftool-demo -X PUT -d value=mine %[1]s/v2/keys/other
# a watch returns the next write below /conftool: repeat the second command in another terminal
curl --cacert %[2]s '%[1]s/v2/keys/conftool?wait=true&recursive=true'

Ctrl-C ends the proxy and its etcd.
`, url, ca)
}
