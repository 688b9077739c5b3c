package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
)

// defaultConfigFile is the path at which the packages install the configuration.
const defaultConfigFile = "/etc/etcd-tlsproxy/etcd-tlsproxy.toml"

// configFlag adds the flag that names the configuration file.
func configFlag(cmd *cobra.Command) *string {
	file := cmd.Flags().StringP("config", "c", defaultConfigFile, "configuration `file`")
	if err := cmd.MarkFlagFilename("config", "toml"); err != nil {
		panic("BUG: the flag was added above: " + err.Error())
	}
	return file
}

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
	"endpoints": "ETCD_TLSPROXY_ENDPOINTS", "ca-file": "ETCD_TLSPROXY_CA_FILE", loginFlag: "ETCD_TLSPROXY_USERNAME", "password-file": "ETCD_TLSPROXY_PASSWORD_FILE",
}

// fromEnvironment sets the flags that the command line does not give.
func fromEnvironment(cmd *cobra.Command) error {
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		value := os.Getenv(variables[f.Name])
		short := cmd.Flags().Lookup(loginAlias)
		if value == "" || f.Changed || f.Name == loginFlag && f.Hidden && short.Changed {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil && failed == nil {
			failed = fmt.Errorf("%s: %w", variables[f.Name], err)
		}
	})
	return failed
}

// The two names of the flag for the user of a connection. The first is that of etcdctl, and
// also of explain, whose --user is the subject of a question.
const (
	loginFlag  = "username"
	loginAlias = "user"
)

// connectionFlags adds the flags of a connection to etcd to a verb.
func connectionFlags(cmd *cobra.Command, c *cluster.Connection) {
	f := cmd.Flags()
	f.StringSliceVar(&c.Endpoints, "endpoints", []string{"http://127.0.0.1:2379"}, "client `URLs` of etcd or of its proxies, separated by commas")
	f.StringVar(&c.CA, "ca-file", "", "PEM `file` to verify https endpoints with (default: the system's CAs)")
	f.StringVar(&c.Certificate, "cert-file", "", "PEM `file` of this client's certificate")
	f.StringVar(&c.Key, "key-file", "", "PEM `file` of its key")
	f.StringVar(&c.User, loginFlag, "", "`name` of the user who logs in at --endpoints")
	if f.Lookup(loginAlias) == nil {
		f.StringVar(&c.User, loginAlias, "", "`name` of the user who logs in at --endpoints")
		f.Lookup(loginFlag).Hidden = true
	}
	f.StringVar(&c.PasswordFile, "password-file", "", "`file` whose first line is the user's password")
	console.DurationVar(f, &c.Timeout, "timeout", 5*time.Second, "maximum duration of a request")
}
