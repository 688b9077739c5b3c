package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3"
)

// demo is one run of the demo.
type demo struct {
	listen, admin, dir string
	api                string // v2 or v3
	open               bool   // the status page in a browser
	stdout, stderr     io.Writer
}

// configuration is a format of the demo's configuration: addresses, etcd and nothing else
// that an operator would not write.
const configuration = `listen = %q
admin  = %q

[upstream]
api       = %q
endpoints = [%q]

[tls]
certificate = "server.crt"
key         = "server.key"

[auth]
htpasswd = ["htpasswd"]

# Who may write a key and all keys below it. Everyone may read.
[acls]
"/"             = ["root"]
"/conftool"     = ["root", "conftool"]
"/eventlogging" = []

[limits]
# Ctrl-C should end the demo within two seconds, even if a watch still waits.
drain = "1s"

[log]
audit = "audit.log"
level = "warn"
`

// show runs etcd and the service, and prints the commands to try. It returns when ctx ends.
func (d *demo) show(ctx context.Context) error {
	for _, address := range []*string{&d.listen, &d.admin} {
		if err := choosePort(address); err != nil {
			return err
		}
	}
	data := filepath.Join(d.dir, "etcd")
	_, missing := os.Stat(data)
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: data})
	if err != nil {
		return fmt.Errorf("starting etcd: %w", err)
	}
	defer etcd.Close()
	if err := d.writeFiles(etcd.URL()); err != nil {
		return fmt.Errorf("writing the files of the demo: %w", err)
	}
	if d.api == "v3" && missing != nil {
		if err := d.initialize(ctx); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() {
		served <- daemon.Run(ctx, daemon.Options{File: d.config(), Version: "demo", Stdout: d.stdout, Stderr: d.stderr})
	}()
	if err := d.await(ctx); err == nil {
		fmt.Fprint(d.stdout, d.guide())
		if d.open {
			if err := openPage("http://" + d.admin + "/-/status"); err != nil {
				fmt.Fprintf(d.stderr, "opening the status page: %v\n", err)
			}
		}
	} else {
		stop()
	}
	return <-served
}

// initialize makes an empty tree of keys in the store of a new etcd.
func (d *demo) initialize(ctx context.Context) error {
	o, err := daemon.StoreOptions(ctx, d.config(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return v2v3.Init(ctx, *o, 0)
}

// config returns the path of the configuration.
func (d *demo) config() string { return filepath.Join(d.dir, "etcd-tlsproxy.toml") }

// choosePort replaces the port 0 by a free one, because the configuration and the printed
// commands need it before the service listens.
func choosePort(address *string) error {
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return fmt.Errorf("listening: %w; if the port is in use, choose another one with --listen and --admin", err)
	}
	*address = listener.Addr().String()
	return listener.Close()
}

// writeFiles writes the configuration and all files that it names, and the CA for clients.
func (d *demo) writeFiles(endpoint string) error {
	pki, err := proxytest.NewPKI()
	if err != nil {
		return err
	}
	cert, key, err := pki.Server("localhost", "127.0.0.1", "::1")
	if err != nil {
		return err
	}
	users, err := proxytest.Htpasswd(map[string]string{"root": "root-demo", "conftool": "conftool-demo"})
	if err != nil {
		return err
	}
	errs := []error{pki.WriteCA(filepath.Join(d.dir, "ca.crt"))}
	for name, data := range map[string][]byte{
		"server.crt": cert, "server.key": key, "htpasswd": users,
		"etcd-tlsproxy.toml": fmt.Appendf(nil, configuration, d.listen, d.admin, d.api, endpoint),
	} {
		errs = append(errs, os.WriteFile(filepath.Join(d.dir, name), data, 0o600))
	}
	return errors.Join(errs...)
}
