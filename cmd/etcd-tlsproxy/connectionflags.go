package main

import (
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
)

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
	f.StringVar(&c.User, loginFlag, "", "`name` of the user")
	if f.Lookup(loginAlias) == nil {
		f.StringVar(&c.User, loginAlias, "", "`name` of the user")
		f.Lookup(loginFlag).Hidden = true
	}
	f.StringVar(&c.PasswordFile, "password-file", "", "`file` whose first line is the user's password")
	console.DurationVar(f, &c.Timeout, "timeout", 5*time.Second, "maximum duration of a request")
}
