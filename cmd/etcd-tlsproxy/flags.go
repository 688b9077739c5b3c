package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"net/url"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/migrate"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/snapshot"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// resolverFlag adds the flag that names a DNS server.
func resolverFlag(cmd *cobra.Command) *string {
	var server string
	cmd.Flags().Var((*resolver)(&server), "resolver", "DNS `server`, as in 127.0.0.1:53 (default: the system's)")
	return &server
}

// resolver is the value of the flag.
type resolver string

func (r *resolver) String() string { return string(*r) }
func (r *resolver) Type() string   { return "string" }
func (r *resolver) Set(text string) error {
	if at, err := netip.ParseAddrPort(text); err != nil || at.Port() == 0 {
		return errors.New("it is not a valid IP address with port (hint: write it as in 127.0.0.1:53; a name would have to be resolved first)")
	}
	*r = resolver(text)
	return nil
}

// complete lets shells complete the value of a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic("BUG: the flag does not exist: " + err.Error())
	}
}

// refuseEmpty refuses an empty value of a flag that has a default. A script that gives one,
// as in --config "$FILE", would be told of a file without a name.
func refuseEmpty(cmd *cobra.Command) error {
	var failed error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" && f.DefValue != "" && failed == nil {
			failed = fmt.Errorf("--%s is empty, want a value (hint: leave it out for %s)", f.Name, f.DefValue)
		}
	})
	return failed
}

// variables name the environment variables that replace the defaults of flags. The
// password itself has none: other processes can read the environment.
var variables = map[string]string{
	"endpoints": "ETCD_TLSPROXY_ENDPOINTS", "ca-file": "ETCD_TLSPROXY_CA_FILE", flags.Login: "ETCD_TLSPROXY_USERNAME", "password-file": "ETCD_TLSPROXY_PASSWORD_FILE",
}

// fromEnvironment sets the flags that the command line does not give.
func fromEnvironment(cmd *cobra.Command) error {
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		value := os.Getenv(variables[f.Name])
		short := cmd.Flags().Lookup(flags.LoginAlias)
		if value == "" || f.Changed || f.Name == flags.Login && f.Hidden && short.Changed {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil && failed == nil {
			failed = fmt.Errorf("%s: %w", variables[f.Name], err)
		}
	})
	return failed
}

// storeToSave returns the v3 store that has the keys according to the configuration, or nil if they are in
// the v2 store. Without --config there need not be a configuration on this machine.
func storeToSave(cmd *cobra.Command, file string, c *cluster.Connection) (*snapshot.Store, error) {
	v3, err := usesV3(cmd.Context(), file)
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

// usesV3 reports whether the keys are in the v3 store. It reads nothing else of the configuration, unless the
// store says which API has the keys.
func usesV3(ctx context.Context, file string) (bool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	_, c, err := config.Decode(file, data)
	if err != nil {
		return false, err
	}
	if !c.Upstream.Auto() {
		return c.Upstream.V3(), nil
	}
	f, err := migrate.Look(ctx, file)
	if err != nil {
		return false, err
	}
	return f.HasKeys()
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
