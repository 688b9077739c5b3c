package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/explain"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/internal/usage"
	"etcd-tlsproxy/proxy/gate"
)

// explainer is one run of explain.
type explainer struct {
	file, running   string
	user, method    string
	who, what, diff string
	keys            string
	connection      cluster.Connection
	console         *console.Console
	whatGiven       bool
}

func newExplain() *cobra.Command {
	e := &explainer{}
	cmd := &cobra.Command{
		Use:   "explain [flags] [KEY]",
		Short: "Show who may do what, and by which rule",
		Long: `Shows the decisions of the table of rules, and the reasons. The table is read from the
configuration file or, with --running, from a running proxy at its admin address. No
certificate, password file or etcd is needed. A user counts as logged in: passwords are
not part of the table. There are four questions:

  explain --user U --method M KEY   May the user do this? KEY can be a path as in a
                                    request, with /v2/keys or another part of etcd's API,
                                    and a query. Without --user, the answer is for a
                                    client that is not logged in. The first word of the
                                    answer is allowed or refused.
  explain --who KEY                 Who may read and write the key, and by which rule?
  explain --what U                  What may the user read and write, by every rule?
                                    --what "" is for a client that is not logged in.
  explain --diff OTHER.toml         Which decisions would another table change? The
                                    decisions are those on the prefixes of both tables
                                    and an example of a key below each, and on the keys
                                    that etcd at --endpoints contains, or that --keys
                                    FILE lists, one per line (- is standard input). They
                                    are compared for every user that a table names, for
                                    a client that is not logged in, and for reads and
                                    writes. Give hidden keys with --keys: etcd does not
                                    list them.

The exit status is 0 if the answer is allowed, or if no decision changes; 3 if it is
refused, or if decisions change; and 1 if there is no answer.`,
		Example: `  etcd-tlsproxy explain --user conftool --method PUT /conftool/v1/x
  etcd-tlsproxy explain --running --who /conftool/v1
  etcd-tlsproxy explain --what conftool --output json
  etcd-tlsproxy explain --diff next.toml --endpoints https://conf1001.example.org:4001`,
	}
	f := cmd.Flags()
	file := flags.Config(cmd)
	f.StringVar(&e.running, "running", "", "read the table of the running proxy at this admin `URL`, as in --running=http://127.0.0.1:4002")
	f.Lookup("running").NoOptDefVal = "http://" + config.Default().Admin
	f.StringVar(&e.user, "user", "", "`name` of the user whom the question is about (default: a client that is not logged in)")
	f.StringVar(&e.method, "method", "GET", "`method` of the request")
	f.StringVar(&e.who, "who", "", "show who may read and write this `key`")
	f.StringVar(&e.what, "what", "", "show what this `user` may read and write")
	f.StringVar(&e.diff, "diff", "", "show what would change with this other configuration `file`")
	f.StringVar(&e.keys, "keys", "", "`file` with the keys to compare, one per line; - is standard input")
	complete(cmd, "method", "GET", "PUT", "POST", "DELETE", "HEAD")
	flags.Connection(cmd, &e.connection)
	e.console = console.New(cmd)
	cmd.Args = func(cmd *cobra.Command, args []string) error { return e.check(cmd, args) }
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e.file = *file
		switch {
		case e.whatGiven:
			return e.showWhat(cmd.Context())
		case e.who != "":
			return e.showWho(cmd.Context())
		case e.diff != "":
			return e.showDiff(cmd.Context())
		}
		return e.showDecision(cmd.Context(), args[0])
	}
	return cmd
}

// check accepts exactly one question.
func (e *explainer) check(cmd *cobra.Command, args []string) error {
	f := cmd.Flags()
	e.whatGiven = f.Changed("what")
	questions := 0
	for _, question := range []bool{len(args) > 0, f.Changed("who"), e.whatGiven, f.Changed("diff")} {
		if question {
			questions++
		}
	}
	switch {
	case len(args) > 1:
		return errors.New("there is more than one key (hint: write an admin address as --running=URL)")
	case questions != 1:
		return errors.New("want exactly one of a key, --who, --what and --diff (hint: write an admin address as --running=URL)")
	case f.Changed("running") && e.running == "":
		return errors.New("--running is empty (hint: write it without a value, or like --running=http://127.0.0.1:4002)")
	case f.Changed("running") && f.Changed("config"):
		return errors.New("--running and --config cannot be used together (hint: --running reads the table of a proxy, --config that of a file)")
	case len(args) == 0 && (f.Changed("user") || f.Changed("method")):
		return errors.New("--user and --method need a key as argument (hint: with --diff, --username is the user who reads the keys from etcd)")
	case f.Changed("who") && e.who == "", f.Changed("diff") && e.diff == "":
		return errors.New("--who needs a key, and --diff needs a file")
	case f.Changed("keys") && e.diff == "":
		return errors.New("--keys can be used only with --diff")
	}
	return nil
}

func (e *explainer) showDecision(ctx context.Context, target string) (err error) {
	var answer *gate.Explanation
	if e.running != "" {
		answer, err = explain.Running(e.running).Explain(ctx, e.method, target, e.user)
	} else {
		var s *gate.Policy
		if s, err = daemon.DecisionTable(e.file); err == nil {
			answer = s.Explain(e.method, target, e.user)
		}
	}
	if err != nil {
		return err
	}
	if err := e.console.Print(answer, func(w io.Writer) error { return explain.WriteExplanation(w, answer) }); err != nil {
		return err
	}
	return yesOrNo(answer.Allowed)
}

// yesOrNo returns the exit status of an answer.
func yesOrNo(yes bool) error {
	if yes {
		return nil
	}
	return &console.ExitError{Code: console.ExitNo}
}

func (e *explainer) showWho(ctx context.Context) error {
	key, err := explain.ParseKey(e.who)
	if err != nil {
		return usage.Mark(err)
	}
	var answer *explain.Who
	if e.running != "" {
		answer, err = explain.Running(e.running).Who(ctx, e.who)
	} else {
		var s *gate.Policy
		if s, err = daemon.DecisionTable(e.file); err == nil {
			answer = explain.WhoMay(s, key)
		}
	}
	if err != nil {
		return err
	}
	return e.console.Print(answer, answer.WriteText)
}

func (e *explainer) showWhat(ctx context.Context) (err error) {
	var answer *explain.What
	if e.running != "" {
		answer, err = explain.Running(e.running).What(ctx, e.what)
	} else {
		var s *gate.Policy
		if s, err = daemon.DecisionTable(e.file); err == nil {
			answer = explain.WhatMay(s, e.what)
		}
	}
	if err != nil {
		return err
	}
	return e.console.Print(answer, answer.WriteText)
}

func (e *explainer) showDiff(ctx context.Context) error {
	before, err := e.current(ctx)
	if err != nil {
		return err
	}
	after, err := daemon.DecisionTable(e.diff)
	if err != nil {
		return err
	}
	keys, unread, err := e.existing(ctx)
	if err != nil {
		return err
	}
	diff := explain.Compare(before, after, keys, unread)
	if err := e.console.Print(diff, diff.WriteText); err != nil {
		return err
	}
	return yesOrNo(diff.Changed == 0)
}

// current returns the table that the other one would replace.
func (e *explainer) current(ctx context.Context) (*gate.Policy, error) {
	if e.running == "" {
		return daemon.DecisionTable(e.file)
	}
	table, err := explain.Running(e.running).Table(ctx)
	if err != nil {
		return nil, err
	}
	return table.Snapshot()
}

// existing returns the keys to compare.
func (e *explainer) existing(ctx context.Context) (keys []acl.Key, unread []string, err error) {
	switch e.keys {
	case "":
		etcd, err := e.connection.Client()
		if err != nil {
			return nil, nil, err
		}
		ctx, cancel := e.connection.Context(ctx)
		defer cancel()
		if keys, unread, err = explain.FetchKeys(ctx, etcd); err != nil {
			err = fmt.Errorf("listing the keys: %w (hint: %s; --keys reads the keys from a file instead)", cluster.OneLine(err), explain.ListingHint(err))
		}
		return keys, unread, err
	case "-":
		return explain.ReadKeys(e.console.In(), "standard input")
	}
	file, err := os.Open(e.keys)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the file of --keys: %w", err)
	}
	defer file.Close()
	return explain.ReadKeys(file, e.keys)
}
