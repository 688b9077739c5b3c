package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/atomicfile"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/internal/usage"
	"etcd-tlsproxy/proxy/upstream"
)

// bootstrapped is the result of bootstrap. Its JSON contains all formats.
type bootstrapped struct {
	Members        []memberSettings `json:"members"`
	InitialCluster string           `json:"initial_cluster"`
	Hiera          *cluster.Hiera   `json:"hiera"`
	Warnings       []string         `json:"warnings"`
}

type memberSettings struct {
	Name        string            `json:"name"`
	Environment map[string]string `json:"environment"`
	Flags       []string          `json:"flags"`
	list        []cluster.Setting
}

func newMemberSettings(s *cluster.Settings) (memberSettings, error) {
	list, err := s.List()
	m := memberSettings{Name: s.Name, Environment: make(map[string]string), list: list}
	for _, setting := range list {
		m.Environment[setting.Variable()] = setting.Value
		m.Flags = append(m.Flags, "--"+setting.Flag+"="+setting.Value)
	}
	return m, err
}

func newBootstrap() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bootstrap (--members NAME=HOST,... | --srv DOMAIN)",
		Short: "Print the settings of the members of a new cluster",
		Long: `Prints the settings of etcd for a new cluster behind proxies: for all members, for
one member (--name), or for a first member that starts as a cluster of its own
(--first). "member add" then adds the others to it.

The members come from a list of names and hosts, or from the SRV records of a domain
(_etcd-server-ssl._tcp or _etcd-server._tcp). With a domain etcd looks the members up
in DNS when it starts (ETCD_DISCOVERY_SRV). With --static the settings list the members
that DNS has now. etcd refuses to start with both.

Members advertise the URL of their proxy to clients. The scheme between peers does not
depend on it: --peer-scheme is http unless the peers use TLS.

--format env prints a file like /etc/default/etcd, flags a command line, and hiera the
parameters of Puppet's profile. --write writes to a file instead. If the file exists
with other contents, --write replaces it only with --yes.`,
		Example: `  etcd-tlsproxy bootstrap --cluster-name conf --first conf1001 --members conf1001=conf1001.example.org
  etcd-tlsproxy bootstrap --cluster-name conf --srv example.org --name conf1002 --write /etc/default/etcd
  etcd-tlsproxy bootstrap --cluster-name conf --srv example.org --format hiera`,
		Args: cobra.MatchAll(console.Arguments, console.OneOf("members", "srv"), console.AtMostOneOf("name", "first"), console.Needs("srv", "static", "resolver")),
	}
	term := console.NewConfirming(cmd)
	b := &cluster.Bootstrap{}
	var members []string
	var domain, name, first, form, file string
	var static bool
	f := cmd.Flags()
	f.StringSliceVar(&members, "members", nil, "`NAME=HOST,...`: all members; a host can have a port for peers")
	f.StringVar(&domain, "srv", "", "`domain` whose SRV records name the members")
	resolver := resolverFlag(cmd)
	f.BoolVar(&static, "static", false, "with --srv: list the members now, instead of a lookup by etcd")
	f.StringVar(&name, "name", "", "only this `member`")
	f.StringVar(&first, "first", "", "only this `member`, as the first of the cluster")
	f.StringVar(&form, "format", "env", "`format` of the output: env, flags or hiera")
	complete(cmd, "format", "env", "flags", "hiera")
	f.StringVar(&file, "write", "", "`file` to write to instead of printing; for one member, or for hiera")
	f.StringVar(&b.Cluster, "cluster-name", "", "`name` of the cluster; it is also the token that keeps two clusters apart")
	settingsFlags(cmd, b)
	f.StringVar(&b.PeerScheme, "peer-scheme", "http", "`scheme` between peers: http or https")
	complete(cmd, "peer-scheme", "http", "https")
	f.IntVar(&b.PeerPort, "peer-port", 2380, "`port` for peers of a host in --members without one")
	cmd.MarkFlagsMutuallyExclusive("members", "srv")
	cmd.MarkFlagsOneRequired("members", "srv")
	cmd.MarkFlagsMutuallyExclusive("name", "first")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := b.Check(); err != nil {
			return usage.Mark(err)
		}
		if form != "env" && form != "flags" && form != "hiera" {
			return usage.Mark(fmt.Errorf("--format %q is not a valid format, want env, flags or hiera", form))
		}
		all, err := b.ParseMembers(members)
		err = usage.Mark(err)
		var warnings []string
		if domain != "" {
			if err := upstream.CheckDomain(domain); err != nil {
				return usage.Mark(fmt.Errorf("--srv %q: %w", domain, err))
			}
			found := lookUp(cmd, *resolver, domain)
			all, err = b.MembersFromDNS(found)
			warnings = found.PeerWarnings()
		}
		if err != nil {
			return err
		}
		discovery := domain
		if static || first != "" {
			discovery = ""
		}
		result, err := assemble(b, all, discovery, name, first)
		if err != nil && domain == "" { // everything is from the command line
			err = usage.Mark(err)
		}
		if err != nil {
			return err
		}
		result.Warnings = append(result.Warnings, warnings...)
		for _, warning := range result.Warnings {
			term.Note("warning: %s", warning)
		}
		if file != "" {
			return writeSettings(term, result, form, file)
		}
		return term.Print(result, func(w io.Writer) error {
			_, err := io.WriteString(w, result.text(form))
			return err
		})
	}
	return cmd
}

// settingsFlags adds the flags for the settings of a member behind a proxy, for
// bootstrap and member add.
func settingsFlags(cmd *cobra.Command, b *cluster.Bootstrap) {
	f := cmd.Flags()
	f.StringVar(&b.ClientScheme, "client-scheme", "https", "`scheme` of the advertised client URL, which is the proxy's: http or https")
	complete(cmd, "client-scheme", "http", "https")
	f.IntVar(&b.ProxyPort, "proxy-port", 4001, "`port` of the advertised client URL")
	f.StringVar(&b.ListenClient, "listen-client", "http://127.0.0.1:2379", "`URL` at which the proxy reaches etcd")
	f.StringVar(&b.ListenPeer, "listen-peer", "0.0.0.0", "`address` on which etcd listens for peers")
	f.StringVar(&b.DataDir, "data-dir", "/var/lib/etcd/default", "`folder` of etcd's data")
	f.StringVar(&b.API, "api", "v2", "`api` of the keys, like upstream.api: v2, or v3, which etcd 3.6 needs")
	complete(cmd, "api", "v2", "v3")
	f.StringVar(&b.Certificate, "peer-cert-file", "", "`file` of the certificate for peers, with https")
	f.StringVar(&b.Key, "peer-key-file", "", "`file` of its key")
	f.StringVar(&b.CA, "peer-ca-file", "", "`file` of the CA that verifies peers")
}

func assemble(b *cluster.Bootstrap, all []cluster.Peer, discovery, name, first string) (*bootstrapped, error) {
	result := &bootstrapped{Warnings: []string{}}
	if first != "" {
		s, err := b.Settings(all, first)
		if err != nil {
			return nil, err
		}
		all, name = []cluster.Peer{{Name: first, URL: s.PeerURL}}, first
	}
	for _, p := range all {
		s, err := b.Settings(all, p.Name)
		if err != nil {
			return nil, err
		}
		s.Discovery = discovery
		m, err := newMemberSettings(s)
		if err != nil {
			return nil, err
		}
		if name == "" || name == p.Name {
			result.Members = append(result.Members, m)
		}
	}
	if len(result.Members) == 0 {
		_, err := b.Settings(all, name)
		return nil, err
	}
	result.InitialCluster = cluster.InitialCluster(all)
	result.Hiera = &cluster.Hiera{Cluster: b.Cluster, Bootstrap: true, Discovery: result.InitialCluster, UseProxy: true}
	if discovery != "" {
		result.Hiera.Discovery = "dns:" + discovery
	}
	result.Warnings = append(result.Warnings, b.Warnings(all)...)
	return result, nil
}

func (b *bootstrapped) text(form string) string {
	if form == "hiera" {
		return "# cluster_bootstrap is true only while the cluster is first built: set it to false afterwards.\n" + b.Hiera.String()
	}
	var blocks []string
	for _, m := range b.Members {
		block := cluster.Env(m.list)
		if form == "flags" {
			block = cluster.Flags(m.list)
		}
		if len(b.Members) > 1 {
			block = "# " + m.Name + "\n" + block
		}
		blocks = append(blocks, block)
	}
	return strings.Join(blocks, "\n")
}

// writeSettings replaces a file in one step, because etcd may start at any time.
func writeSettings(term *console.Console, result *bootstrapped, form, file string) error {
	if form != "hiera" && len(result.Members) != 1 {
		return usage.Mark(errors.New("--write writes the settings of one member, but there are several (hint: choose one with --name or --first)"))
	}
	text := []byte(result.text(form))
	old, err := os.ReadFile(file)
	switch {
	case err == nil && bytes.Equal(old, text):
		term.Note("%s: unchanged", file)
		return term.Print(result, func(io.Writer) error { return nil })
	case err == nil:
		if err := term.Confirm("replace " + file + ", which has other contents"); err != nil {
			return err
		}
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("reading the file of --write: %w", err)
	}
	if err := atomicfile.Write(file, text, 0o644); err != nil {
		return fmt.Errorf("writing the settings: %w", err)
	}
	term.Note("%s: written", file)
	return term.Print(result, func(io.Writer) error { return nil })
}
