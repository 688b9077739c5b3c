package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/atomicfile"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/siteimport"
)

// importer is one run of import.
type importer struct {
	hiera           []string
	nginx, htpasswd string
	pools           string
	options         siteimport.HieraOptions
	match, write    string
	console         *console.Console
}

func newImport() *cobra.Command {
	m := &importer{}
	cmd := &cobra.Command{
		Use:   "import {--hiera FILE... | --nginx FILE}",
		Short: "Take a table over from hiera or from an nginx site",
		Long: `Turns what the nginx site before etcd was made of into a configuration of this proxy,
and tells every request whose outcome will differ, and why. The source is

  --hiera FILE   the parameters profile::etcd::tlsproxy::* (acls, cert_name, read_only,
                 listen_port, upstream_port, tls_upstream). It can be given several times:
                 of files that have a parameter the first counts, as in hiera's hierarchy.
                 salt and pool_pwd_seed are not needed. Rules that Puppet generates for
                 pools are added with --pools FILE: a dc/cluster a line, for which
                 root, conftool and pool-dc-cluster may write /conftool/v1/pools/dc/cluster.
                 The htpasswd files are those in --htpasswd, one for each prefix that has
                 users, named by the prefix with _ for / .
  --nginx FILE   the site's file. The users of a prefix are those of its htpasswd file.
                 Directives that could change a decision and are not understood are
                 errors, with their line. With --htpasswd the files are read from there,
                 while their own names stay in the configuration.

Where the htpasswd files are here they are compared: a user has one password now, and
the users of a file must be those of its rule. What does not fit is told as a conflict
and must be resolved by hand.

The configuration goes to standard output and the findings to standard error; with
--write FILE, which keeps the mode and owner of an old file, the findings go to standard
output. With --output json all is one object. match = "both" is written first: nothing
that nginx refused opens. Check the result with check-config.

The exit status is 0, or 3 if there are conflicts, or 1 if nothing could be made.`,
		Example: `  etcd-tlsproxy import --nginx /etc/nginx/sites-enabled/etcd --write /etc/etcd-tlsproxy/etcd-tlsproxy.toml
  etcd-tlsproxy import --hiera role/eqiad.yaml --hiera role/common.yaml --domain example.org --host conf1001.example.org`,
	}
	f := cmd.Flags()
	f.StringArrayVar(&m.hiera, "hiera", nil, "hiera `file`; can be given several times")
	f.StringVar(&m.nginx, "nginx", "", "nginx's site `file`")
	f.StringVar(&m.htpasswd, "htpasswd", "", "`folder` of the htpasswd files (for hiera /etc/nginx/auth by default)")
	f.StringVar(&m.pools, "pools", "", "`file` with the pools that Puppet generates rules for, a dc/cluster a line")
	f.StringVar(&m.options.Domain, "domain", "", "`name` that stands for %{::domain} in cert_name")
	f.StringVar(&m.options.Host, "host", "", "`name` that etcd is reached at, for tls_upstream")
	f.StringVar(&m.match, "match", "both", "both, or segment to compare whole segments alone from the start")
	f.StringVar(&m.write, "write", "", "write the configuration into this `file`; over an old one only with --yes")
	m.console = console.NewConfirming(cmd)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > 0:
			return fmt.Errorf("it takes no argument (hint: name the file behind --hiera or --nginx)")
		case (len(m.hiera) > 0) == (m.nginx != ""):
			return errors.New("give either --hiera or --nginx")
		case m.nginx != "" && (m.pools != "" || m.options.Domain != "" || m.options.Host != ""):
			return errors.New("--pools, --domain and --host go with --hiera")
		case m.match != "both" && m.match != "segment":
			return errors.New("--match is both or segment")
		}
		return nil
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
	if _, err := ParseConfig("import", []byte(report.Config)); err != nil {
		report.Conflicts = append(report.Conflicts, "the configuration would be refused: "+err.Error())
	}
	if err := m.tell(report); err != nil {
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
		return siteimport.ReadNginx(site, m.passwords)
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

// passwords reads a htpasswd file, for nginx from where --htpasswd says.
func (m *importer) passwords(name string) ([]byte, error) {
	if m.nginx != "" && m.htpasswd != "" {
		name = filepath.Join(m.htpasswd, filepath.Base(name))
	}
	return os.ReadFile(name)
}

// newConfigMode lets the service's group read the file; it holds no secret.
const newConfigMode = 0o644

// tell prints the configuration, or writes it, and prints what was found.
func (m *importer) tell(report *siteimport.Report) error {
	if m.write != "" {
		if _, err := os.Lstat(m.write); !errors.Is(err, fs.ErrNotExist) {
			if err := m.console.Confirm("write over " + m.write); err != nil {
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
