package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/snapshot"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// storeToSave returns the v3 store that has the keys according to the configuration, or nil if they are in
// the v2 store. Without --config there need not be a configuration on this machine.
func storeToSave(cmd *cobra.Command, file string, c *cluster.Connection) (*snapshot.Store, error) {
	v3, err := usesV3(file)
	if errors.Is(err, fs.ErrNotExist) && !cmd.Flags().Changed("config") {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("finding out which API the keys have: %w (hint: --config /dev/null is for the v2 API)", err)
	}
	if !v3 {
		return nil, nil
	}
	o, err := daemon.StoreOptions(cmd.Context(), file, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	s := &snapshot.Store{Endpoints: o.Endpoints, User: o.User, Password: o.Password, Prefix: o.Prefix, Timeout: c.Timeout}
	if c.User != "" || c.PasswordFile != "" {
		if s.User, s.Password, err = c.Login(); err != nil {
			return nil, err
		}
	}
	if cmd.Flags().Changed("endpoints") {
		if s.Endpoints, err = storeEndpoints(c); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// usesV3 reads the API in a configuration, and nothing else of it.
func usesV3(file string) (bool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	_, c, err := config.Decode(file, data)
	if err != nil {
		return false, err
	}
	return c.Upstream.V3(), nil
}

// storeEndpoints returns the endpoints of the command line for the v3 API.
func storeEndpoints(c *cluster.Connection) (list []rpc.Endpoint, err error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	transport, err := c.Transport()
	if err != nil {
		return nil, err
	}
	for _, text := range c.Endpoints {
		u, err := url.Parse(text)
		if err != nil {
			return nil, err
		}
		e := rpc.Endpoint{Addr: u.Host}
		if u.Scheme == "https" {
			e.TLS = transport.TLSClientConfig.Clone()
			e.TLS.ServerName = u.Hostname()
		}
		list = append(list, e)
	}
	return list, nil
}
