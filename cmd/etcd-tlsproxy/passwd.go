package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/htpasswd"
	"etcd-tlsproxy/cmd/internal/usage"
)

func newPasswd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "passwd",
		Short: "Edit htpasswd files",
		Long: `Adds, changes, verifies, removes and lists the users of a htpasswd file. The password
is read from the terminal or, with --stdin, from standard input. It is never an
argument, because every user of the machine could read that.

A file is checked like the proxy checks it: if the proxy would refuse a line, the
command names the line and writes nothing. All other lines, comments and their order
stay byte for byte, as do mode and owner. The new file replaces the old one in one step
or not at all. Concurrent edits wait for each other. A running proxy reloads the file
without a signal. If the configuration names the file and its proxy runs, add, change
and remove wait until the change is in force, and exit with status 1 if it is not. While
the configuration has a mistake in its rules, users and old passwords that are removed are
refused, but new passwords do not work. The commands name the mistake then.`,
		Example: `  etcd-tlsproxy passwd add /etc/etcd-tlsproxy/htpasswd conftool
  etcd-tlsproxy passwd change --stdin /etc/etcd-tlsproxy/htpasswd conftool < password
  etcd-tlsproxy passwd list /etc/etcd-tlsproxy/htpasswd`,
		Args: console.OnlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPasswdAdd(), newPasswdChange(), newPasswdVerify(), newPasswdRemove(), newPasswdList())
	return cmd
}

// password reads and hashes the password of a command.
type password struct {
	console *console.Console
	stdin   bool
	scheme  string
	cost    int
}

func (p *password) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.stdin, "stdin", false, "read the password from standard input, one line")
}

const hashHelp = `

The password is hashed with bcrypt, or with --hash sha512-crypt (for FIPS 140) or
apr1 (weak, for nginx sites that support nothing else). Each step of bcrypt's --cost
doubles the time of a login, right or wrong: cost 10 takes about 50 ms. The proxy caches
right passwords until a file changes, and hashes each wrong one. With a cost of 12 or
more, two addresses that guess passwords can keep one worker busy.`

func (p *password) hashFlags(cmd *cobra.Command) {
	p.flags(cmd)
	cmd.Flags().StringVar(&p.scheme, "hash", htpasswd.Schemes()[0], "`scheme` of the hash: bcrypt, sha512-crypt or apr1")
	complete(cmd, "hash", htpasswd.Schemes()...)
	cmd.Flags().IntVar(&p.cost, "cost", htpasswd.DefaultCost, "bcrypt's cost, from 4 to 14")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := console.Arguments(cmd, args); err != nil {
			return err
		}
		return htpasswd.CheckHash(p.scheme, p.cost)
	}
}

// get reads a password; again makes the user type it twice.
func (p *password) get(ctx context.Context, again bool) (string, error) {
	if p.stdin {
		return htpasswd.ReadStdin(p.console.In())
	}
	return htpasswd.Prompt(ctx, p.console.In(), p.console.Err(), again)
}

// hash reads a new password and returns its hash.
func (p *password) hash(ctx context.Context) (string, error) {
	text, err := p.get(ctx, true)
	if err != nil {
		return "", err
	}
	return htpasswd.Hash(p.scheme, p.cost, text)
}

func newPasswdAdd() *cobra.Command {
	cmd := &cobra.Command{Use: "add FILE USER", Short: "Add a user", Long: "Adds a user to a htpasswd file." + hashHelp}
	p := &password{console: console.New(cmd)}
	p.hashFlags(cmd)
	configFile := flags.Config(cmd)
	create := cmd.Flags().Bool("create", false, "create the file, with mode 0640; it must not exist")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := htpasswd.CheckName(args[1]); err != nil {
			return usage.Mark(err)
		}
		if !*create { // report errors before the user types a password
			file, err := htpasswd.Read(args[0])
			if err != nil {
				return err
			}
			if _, err := file.Add(args[1], ""); err != nil {
				return err
			}
		}
		hash, err := p.hash(cmd.Context())
		if err != nil {
			return err
		}
		return (&edited{File: args[0], User: args[1], Action: added, Scheme: p.scheme}).change(cmd.Context(), p.console, *configFile, *create,
			func(f *htpasswd.File) ([]byte, error) { return f.Add(args[1], hash) })
	}
	return cmd
}

func newPasswdChange() *cobra.Command {
	cmd := &cobra.Command{Use: "change FILE USER", Short: "Change the password of a user", Long: "Changes the password of a user in a htpasswd file. The old password stops working." + hashHelp}
	p := &password{console: console.New(cmd)}
	p.hashFlags(cmd)
	configFile := flags.Config(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		file, err := htpasswd.Read(args[0])
		if err != nil {
			return err
		}
		if _, err := file.Change(args[1], ""); err != nil {
			return err
		}
		hash, err := p.hash(cmd.Context())
		if err != nil {
			return err
		}
		return (&edited{File: args[0], User: args[1], Action: changed, Scheme: p.scheme}).change(cmd.Context(), p.console, *configFile, false,
			func(f *htpasswd.File) ([]byte, error) { return f.Change(args[1], hash) })
	}
	return cmd
}

func newPasswdVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify FILE USER", Short: "Verify the password of a user", Args: console.Arguments,
		Long: `Verifies the password of a user like the proxy does. The exit status is 0 if the
password is right, 3 if it is wrong, and 1 if it could not be verified.`,
	}
	p := &password{console: console.New(cmd)}
	p.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		file, err := htpasswd.Read(args[0])
		if err != nil {
			return err
		}
		text, err := p.get(cmd.Context(), false)
		if err != nil {
			return err
		}
		right, err := file.Verify(cmd.Context(), args[1], text)
		if err != nil {
			return err
		}
		result := struct {
			File  string `json:"file"`
			User  string `json:"user"`
			Right bool   `json:"right"`
		}{args[0], args[1], right}
		err = p.console.Print(result, func(w io.Writer) error {
			verdict := "wrong"
			if right {
				verdict = "right"
			}
			_, err := fmt.Fprintf(w, "%s: user %q: the password is %s\n", args[0], args[1], verdict)
			return err
		})
		if err != nil {
			return err
		}
		return yesOrNo(right)
	}
	return cmd
}

func newPasswdRemove() *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove FILE USER", Short: "Remove a user", Args: console.Arguments,
		Long: `Removes a user from a htpasswd file. A running proxy refuses the password within two
seconds. The rules and surfaces that still name the user are listed: they admit a client
certificate with this name. Until the name is taken out, check-config and the proxy warn
about it.`,
	}
	c := console.NewConfirming(cmd)
	configFile := flags.Config(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		remove := func(f *htpasswd.File) ([]byte, error) { return f.Remove(args[1]) }
		file, err := htpasswd.Read(args[0])
		if err != nil {
			return err
		}
		if _, err := remove(file); err != nil {
			return err
		}
		places, known := naming(*configFile, args[0], args[1])
		rules := "rules that name the user stay, and check-config lists them"
		switch {
		case len(places) > 0:
			rules = "these name the user and stay: " + strings.Join(places, ", ")
		case known:
			rules = "no rule names the user"
		}
		if err := c.Confirm(fmt.Sprintf("remove user %q from %s: the password stops working; %s", args[1], args[0], rules)); err != nil {
			return err
		}
		return (&edited{File: args[0], User: args[1], Action: removed, NamedBy: places}).change(cmd.Context(), c, *configFile, false, remove)
	}
	return cmd
}

func newPasswdList() *cobra.Command {
	cmd := &cobra.Command{Use: "list FILE", Short: "List the users", Long: "Lists the users of a htpasswd file, each with the scheme of its hash.", Args: console.Arguments}
	c := console.New(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		file, err := htpasswd.Read(args[0])
		if err != nil {
			return err
		}
		users := file.Users()
		return c.Print(users, func(w io.Writer) error {
			t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
			for _, user := range users {
				fmt.Fprintf(t, "%s\t%s\n", user.Name, user.Scheme)
			}
			return t.Flush()
		})
	}
	return cmd
}
