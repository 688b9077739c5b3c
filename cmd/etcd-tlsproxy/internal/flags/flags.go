// Package flags has the flags that several verbs share.
package flags

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
)

// DefaultConfigFile is the path at which the packages install the configuration.
const DefaultConfigFile = "/etc/etcd-tlsproxy/etcd-tlsproxy.toml"

// Config adds the flag that names the configuration file.
func Config(cmd *cobra.Command) *string {
	file := cmd.Flags().StringP("config", "c", DefaultConfigFile, "configuration `file`")
	if err := cmd.MarkFlagFilename("config", "toml"); err != nil {
		panic("BUG: the flag was added above: " + err.Error())
	}
	return file
}

// The two names of the flag for the user of a connection. The first is that of etcdctl, and
// also of explain, whose --user is the subject of a question.
const (
	Login      = "username"
	LoginAlias = "user"
)

// Connection adds the flags of a connection to etcd to a verb.
func Connection(cmd *cobra.Command, c *cluster.Connection) {
	f := cmd.Flags()
	f.StringSliceVar(&c.Endpoints, "endpoints", []string{"http://127.0.0.1:2379"}, "client `URLs` of etcd or of its proxies, separated by commas")
	f.StringVar(&c.CA, "ca-file", "", "PEM `file` to verify https endpoints with (default: the system's CAs)")
	f.StringVar(&c.Certificate, "cert-file", "", "PEM `file` of this client's certificate")
	f.StringVar(&c.Key, "key-file", "", "PEM `file` of its key")
	f.StringVar(&c.User, Login, "", "`name` of the user who logs in at --endpoints")
	if f.Lookup(LoginAlias) == nil {
		f.StringVar(&c.User, LoginAlias, "", "`name` of the user who logs in at --endpoints")
		f.Lookup(Login).Hidden = true
	}
	f.StringVar(&c.PasswordFile, "password-file", "", "`file` whose first line is the user's password")
	console.DurationVar(f, &c.Timeout, "timeout", 5*time.Second, "maximum duration of a request")
}

// EtcdLogin adds the flags for a user of etcd itself.
func EtcdLogin(f *pflag.FlagSet, login *cluster.Connection) {
	f.StringVar(&login.User, LoginAlias, "", "`name` of a user of etcd, if its authentication is enabled")
	f.StringVar(&login.PasswordFile, "password-file", "", "`file` whose first line is the user's password")
}
