package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/atomicfile"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/siteimport"
)

// importer is one run of import.
type importer struct {
	hiera           []string
	nginx, htpasswd string
	pools           string
	options         siteimport.HieraOptions
	facts           []string
	copies          map[string]string // of htpasswd files in the folder of --htpasswd, by base name
	match, write    string
	console         *console.Console
}

func newImport() *cobra.Command {
	m := &importer{copies: map[string]string{}}
	cmd := &cobra.Command{
		Use:   "import {--hiera FILE... | --nginx FILE}",
		Short: "Import the rules of an nginx site or of hiera",
		Long: `Makes a configuration of this proxy from the nginx site in front of etcd, and lists
every kind of request that the proxy would answer differently from nginx, with the
reason. The source is one of

  --hiera FILE   The parameters profile::etcd::tlsproxy::* (acls, cert_name, read_only,
                 listen_port, upstream_port, tls_upstream). The flag can be repeated; the
                 first file with a parameter counts, as in hiera's hierarchy. salt and
                 pool_pwd_seed are not needed. --pools FILE adds the rules that Puppet
                 generates for pools. It has one dc/cluster in a line, and lets root,
                 conftool and pool-dc-cluster write /conftool/v1/pools/dc/cluster. The
                 htpasswd files are those in --htpasswd, one for each prefix with users,
                 named like the prefix with _ in place of /, as in _conftool.htpasswd.
                 --fact replaces variables, such as %{::site}; a variable without a value
                 is an error.
  --nginx FILE   nginx.conf, whose includes are followed. The file of a single site is
                 read too, but it is a conflict: what surrounds it can restrict access.
                 The users of a prefix are those of its htpasswd file. A directive that
                 could refuse or change a request, or that is unknown, is an error with
                 its line, wherever it is. With --htpasswd the files are read from that
                 folder, but the configuration keeps their own names.

If the htpasswd files are on this machine, the command compares them: a user can have
only one password, and the users of a file must be those of its rule. A difference is
a conflict, which you must resolve by hand. So is every request that nginx refused and
that the configuration would allow.

The configuration is written to standard output and the findings to standard error.
--write FILE writes the configuration to a file, whose mode and owner stay, and the
findings to standard output. --output json prints both as one object. The configuration
has match = "both", so that it opens nothing that nginx refused. Check the result with
check-config.

The exit status is 0, or 3 if there are conflicts, or 1 if there is no configuration.`,
		Example: `  etcd-tlsproxy import --nginx /etc/nginx/nginx.conf --write /etc/etcd-tlsproxy/etcd-tlsproxy.toml
  etcd-tlsproxy import --hiera role/eqiad.yaml --hiera role/common.yaml --domain example.org --host conf1001.example.org`,
	}
	f := cmd.Flags()
	f.StringArrayVar(&m.hiera, "hiera", nil, "hiera `file`; can be repeated")
	f.StringVar(&m.nginx, "nginx", "", "`file` of nginx, usually nginx.conf")
	f.StringVar(&m.htpasswd, "htpasswd", "", "`folder` of the htpasswd files (default with --hiera: /etc/nginx/auth)")
	f.StringVar(&m.pools, "pools", "", "`file` with the pools for which Puppet generates rules, one dc/cluster per line")
	f.StringVar(&m.options.Domain, "domain", "", "`name` that replaces %{::domain} in cert_name")
	f.StringArrayVar(&m.facts, "fact", nil, "`name=value` of a variable that hiera interpolates, as in site=eqiad; can be repeated")
	f.StringVar(&m.options.Host, "host", "", "`name` of the host of etcd, for tls_upstream")
	f.StringVar(&m.match, "match", "both", "`value` of match: both, or segment to drop nginx's byte-wise prefixes at once")
	complete(cmd, "match", "both", "segment")
	f.StringVar(&m.write, "write", "", "`file` to write the configuration to; an existing file is replaced only with --yes")
	m.console = console.NewConfirming(cmd)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > 0:
			return errors.New("want no argument (hint: give the file with --hiera or --nginx)")
		case (len(m.hiera) > 0) == (m.nginx != ""):
			return errors.New("want exactly one of --hiera and --nginx")
		case m.nginx != "" && (m.pools != "" || m.options.Domain != "" || m.options.Host != "" || len(m.facts) > 0):
			return errors.New("--pools, --domain, --fact and --host can be used only with --hiera")
		case m.match != "both" && m.match != "segment":
			return fmt.Errorf("--match %q is not a valid value, want both or segment", m.match)
		}
		return m.parseFacts()
	}
	cmd.RunE = func(*cobra.Command, []string) error { return m.run() }
	return cmd
}

func (m *importer) run() error {
	site, err := m.read()
	if err != nil {
		return err
	}
	if err := site.CheckPasswords(m.passwords); err != nil {
		return err
	}
	match := acl.MatchBoth
	if m.match == "segment" {
		match = acl.MatchSegments
	}
	report, err := site.Report(match)
	if err != nil {
		return err
	}
	if _, err := config.Parse("import", []byte(report.Config)); err != nil {
		report.Conflicts = append(report.Conflicts, "the configuration would be refused: "+err.Error())
	}
	if err := m.publish(report); err != nil {
		return err
	}
	return yesOrNo(len(report.Conflicts) == 0)
}

// read reads the site from either source.
func (m *importer) read() (*siteimport.Site, error) {
	source := func(name string) (siteimport.Source, error) {
		data, err := os.ReadFile(name)
		if err != nil {
			return siteimport.Source{}, fmt.Errorf("reading the source: %w", err)
		}
		return siteimport.Source{Name: name, Data: data}, nil
	}
	if m.nginx != "" {
		site, err := source(m.nginx)
		if err != nil {
			return nil, err
		}
		folder, err := filepath.Abs(filepath.Dir(m.nginx))
		if err != nil {
			return nil, fmt.Errorf("reading the source: %w", err)
		}
		return siteimport.ReadNginx(site, siteimport.NginxFiles{Folder: folder, Read: os.ReadFile, Glob: filepath.Glob, Passwords: m.passwords})
	}
	var sources []siteimport.Source
	for _, name := range m.hiera {
		one, err := source(name)
		if err != nil {
			return nil, err
		}
		sources = append(sources, one)
	}
	options := m.options
	if options.Passwords = m.htpasswd; options.Passwords == "" {
		options.Passwords = "/etc/nginx/auth"
	}
	if m.pools != "" {
		data, err := os.ReadFile(m.pools)
		if err != nil {
			return nil, fmt.Errorf("reading --pools: %w", err)
		}
		options.Pools = siteimport.ReadPools(data)
	}
	return siteimport.ReadHiera(options, sources...)
}

// parseFacts parses the values of --fact.
func (m *importer) parseFacts() error {
	m.options.Facts = map[string]string{}
	for _, fact := range m.facts {
		name, value, ok := strings.Cut(fact, "=")
		if !ok || name == "" {
			return fmt.Errorf("--fact %q is not a valid name=value (hint: write it like site=eqiad)", fact)
		}
		m.options.Facts[name] = value
	}
	return nil
}

// passwords reads a htpasswd file; for nginx, from the folder of --htpasswd.
func (m *importer) passwords(name string) ([]byte, error) {
	if m.nginx == "" || m.htpasswd == "" {
		return os.ReadFile(name)
	}
	base := filepath.Base(name)
	if other, taken := m.copies[base]; taken && other != name {
		return nil, fmt.Errorf("--htpasswd: %s and %s have the same base name, so the folder cannot hold both (hint: rename one of them on nginx's machine, or run import there)", other, name)
	}
	m.copies[base] = name
	return os.ReadFile(filepath.Join(m.htpasswd, base))
}

// newConfigMode lets the service read the file, which contains no secret.
const newConfigMode = 0o644

// publish prints or writes the configuration, and prints the findings.
func (m *importer) publish(report *siteimport.Report) error {
	if m.write != "" {
		if _, err := os.Lstat(m.write); !errors.Is(err, fs.ErrNotExist) {
			if err := m.console.Confirm("replace " + m.write); err != nil {
				return err
			}
		}
		if err := atomicfile.Write(m.write, []byte(report.Config), newConfigMode); err != nil {
			return err
		}
		report.File = m.write
		return m.console.Print(report, report.WriteFindings)
	}
	if m.console.JSON() {
		return m.console.Print(report, nil)
	}
	if _, err := fmt.Fprint(m.console.Out(), report.Config); err != nil {
		return err
	}
	return report.WriteFindings(m.console.Err())
}
