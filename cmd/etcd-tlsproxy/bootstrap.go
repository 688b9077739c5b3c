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
	"etcd-tlsproxy/proxy/upstream"
)

// bootstrapped is the result of bootstrap: in JSON all forms at once.
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
		Short: "Print the settings of a new cluster's members",
		Long: `Prints what etcd needs to know to build a cluster behind proxies, for all its
members, for one of them (--name), or for the first one alone (--first), to which
the others are added with "member add".

The members come from a list of names and hosts, or from the SRV records of a
domain (_etcd-server-ssl._tcp or _etcd-server._tcp). With a domain etcd asks DNS
itself when it starts (ETCD_DISCOVERY_SRV); with --static it is told what DNS says
now. It refuses to start with both.

The URL that members advertise to clients is their proxy's. How peers speak with
each other is another thing: --peer-scheme is http as long as there is no TLS
between peers, whatever clients use.

--format env is a file as /etc/default/etcd, flags a command line, and hiera what
Puppet's profile wants to know. --write writes it to a file at once, instead of
printing it; a file with other contents is replaced only with --yes.`,
		Example: `  etcd-tlsproxy bootstrap --cluster-name conf --first conf1001 --members conf1001=conf1001.example.org
  etcd-tlsproxy bootstrap --cluster-name conf --srv example.org --name conf1002 --write /etc/default/etcd
  etcd-tlsproxy bootstrap --cluster-name conf --srv example.org --format hiera`,
		Args: cobra.NoArgs,
	}
	term := console.NewConfirming(cmd)
	b := &cluster.Bootstrap{}
	var members []string
	var domain, resolver, name, first, form, file string
	var static bool
	f := cmd.Flags()
	f.StringSliceVar(&members, "members", nil, "`NAME=HOST,...`: all members; a host may have a port for peers")
	f.StringVar(&domain, "srv", "", "`domain` whose SRV records name the members")
	f.StringVar(&resolver, "resolver", "", "DNS `server` to ask, as in 127.0.0.1:53 (default: the system's)")
	f.BoolVar(&static, "static", false, "with --srv: name the members now, instead of letting etcd ask DNS")
	f.StringVar(&name, "name", "", "only this `member`")
	f.StringVar(&first, "first", "", "only this `member`, as a cluster of its own")
	f.StringVar(&form, "format", "env", "`form` of the output: env, flags or hiera")
	f.StringVar(&file, "write", "", "`file` to write instead of printing; for one member or hiera")
	f.StringVar(&b.Cluster, "cluster-name", "", "`name` of the cluster: its token, so that members of two clusters do not mix")
	settingsFlags(cmd, b)
	f.StringVar(&b.PeerScheme, "peer-scheme", "http", "`scheme` that peers speak with each other: http or https")
	f.IntVar(&b.PeerPort, "peer-port", 2380, "`port` for peers of hosts in --members")
	cmd.MarkFlagsMutuallyExclusive("members", "srv")
	cmd.MarkFlagsOneRequired("members", "srv")
	cmd.MarkFlagsMutuallyExclusive("name", "first")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := b.Check(); err != nil {
			return err
		}
		if form != "env" && form != "flags" && form != "hiera" {
			return fmt.Errorf("--format %q is neither env nor flags nor hiera", form)
		}
		all, err := b.ParseMembers(members)
		if domain != "" {
			if err := upstream.CheckDomain(domain); err != nil {
				return fmt.Errorf("--srv %q: %w", domain, err)
			}
			all, err = b.MembersFromDNS(lookUp(cmd, resolver, domain))
		}
		if err != nil {
			return err
		}
		discovery := domain
		if static || first != "" {
			discovery = ""
		}
		result, err := assemble(b, all, discovery, name, first)
		if err != nil {
			return err
		}
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

// settingsFlags are those of a member behind a proxy, whether it is one of the
// first or is added later.
func settingsFlags(cmd *cobra.Command, b *cluster.Bootstrap) {
	f := cmd.Flags()
	f.StringVar(&b.ClientScheme, "client-scheme", "https", "`scheme` of the URL that clients get, which is the proxy's: http or https")
	f.IntVar(&b.ProxyPort, "proxy-port", 4001, "`port` of that URL")
	f.StringVar(&b.ListenClient, "listen-client", "http://127.0.0.1:2379", "`URL` at which the proxy reaches etcd")
	f.StringVar(&b.ListenPeer, "listen-peer", "0.0.0.0", "`address` for peers")
	f.StringVar(&b.DataDir, "data-dir", "/var/lib/etcd/default", "`folder` of etcd's data")
	f.StringVar(&b.Certificate, "peer-cert-file", "", "`file` of the certificate for peers, with https")
	f.StringVar(&b.Key, "peer-key-file", "", "`file` of its key")
	f.StringVar(&b.CA, "peer-ca-file", "", "`file` of the CA that peers are verified with")
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
		return "# cluster_bootstrap is true only while the cluster is first built: set it to false then.\n" + b.Hiera.String()
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

// writeSettings replaces a file in one step: etcd's service may start at any time.
func writeSettings(term *console.Console, result *bootstrapped, form, file string) error {
	if form != "hiera" && len(result.Members) != 1 {
		return errors.New("a file is for one member (hint: --name or --first says which)")
	}
	text := []byte(result.text(form))
	old, err := os.ReadFile(file)
	switch {
	case err == nil && bytes.Equal(old, text):
		term.Note("%s: it is so already", file)
		return term.Print(result, func(io.Writer) error { return nil })
	case err == nil:
		if err := term.Confirm("replace " + file + ", which has other contents"); err != nil {
			return err
		}
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("reading what --write would replace: %w", err)
	}
	if err := atomicfile.Write(file, text, 0o644); err != nil {
		return fmt.Errorf("writing the settings: %w", err)
	}
	term.Note("%s: written", file)
	return term.Print(result, func(io.Writer) error { return nil })
}
