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
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/explain"
	"etcd-tlsproxy/proxy/gate"
)

// exitNo is the status of a verb whose answer is no: it did what it was asked to, and
// scripts can tell that from a failure.
const exitNo = 3

// explainer is one run of explain.
type explainer struct {
	file, running   string
	user, method    string
	who, what, diff string
	keys            string
	connection      cluster.Connection
	console         *console.Console
	asksWhat        bool
}

func newExplain() *cobra.Command {
	e := &explainer{}
	cmd := &cobra.Command{
		Use:   "explain [flags] [KEY]",
		Short: "Tell who may do what, and which rule says so",
		Long: `Tells what the table of rules decides, and why. It reads the configuration file, or
with --running asks a running proxy at its admin address; it needs no certificate, no
password file and no etcd. Users are taken for known: whether a password is right is
no matter of the table. Four questions can be asked:

  explain --user U --method M KEY   may this user do this? KEY can be a path as in a
                                    request, with /v2/keys or another part of etcd's port,
                                    and a query. Without --user it is asked for nobody.
                                    The first word of the answer is allowed or refused.
  explain --who KEY                 who may read and write the key, and by which rule
  explain --what U                  what the user may read and write, by every rule;
                                    --what "" asks for nobody
  explain --diff OTHER.toml         which decisions another table would change, over the
                                    keys that etcd at --endpoints holds, or over those
                                    that --keys FILE lists, a line each (- is standard
                                    input): for every user that a table names and for
                                    nobody, for reads and for writes. Hidden keys, which
                                    etcd lists to nobody, can be given with --keys.

The exit status is 0 if the answer is allowed, or no decision changes; 3 if it is
refused, or decisions change; 1 if the question could not be answered.`,
		Example: `  etcd-tlsproxy explain --user conftool --method PUT /conftool/v1/x
  etcd-tlsproxy explain --running --who /conftool/v1
  etcd-tlsproxy explain --what conftool --output json
  etcd-tlsproxy explain --diff next.toml --endpoints https://conf1001.example.org:4001`,
	}
	f := cmd.Flags()
	file := configFlag(cmd)
	f.StringVar(&e.running, "running", "", "ask the running proxy with this admin `URL`, as in --running=http://127.0.0.1:4002")
	f.Lookup("running").NoOptDefVal = "http://" + DefaultConfig().Admin
	f.StringVar(&e.user, "user", "", "`name` of the user; nobody without it")
	f.StringVar(&e.method, "method", "GET", "`method` of the request")
	f.StringVar(&e.who, "who", "", "who may read and write this `key`?")
	f.StringVar(&e.what, "what", "", "what may this `user` read and write?")
	f.StringVar(&e.diff, "diff", "", "what would change with this other configuration `file`?")
	f.StringVar(&e.keys, "keys", "", "`file` with the keys to compare for, a line each; - is standard input")
	connectionFlags(cmd, &e.connection)
	e.console = console.New(cmd)
	cmd.Args = func(cmd *cobra.Command, args []string) error { return e.check(cmd, args) }
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e.file = *file
		switch {
		case e.asksWhat:
			return e.tellWhat(cmd.Context())
		case e.who != "":
			return e.tellWho(cmd.Context())
		case e.diff != "":
			return e.tellDiff(cmd.Context())
		}
		return e.tell(cmd.Context(), args[0])
	}
	return cmd
}

// check refuses questions that are none, or several at once.
func (e *explainer) check(cmd *cobra.Command, args []string) error {
	f := cmd.Flags()
	e.asksWhat = f.Changed("what")
	asked := 0
	for _, question := range []bool{len(args) > 0, f.Changed("who"), e.asksWhat, f.Changed("diff")} {
		if question {
			asked++
		}
	}
	switch {
	case len(args) > 1:
		return errors.New("there is more than one key (hint: an admin address is written --running=URL)")
	case asked != 1:
		return errors.New("ask one question: a key, --who, --what or --diff (hint: an admin address is written --running=URL)")
	case f.Changed("running") && f.Changed("config"):
		return errors.New("--running asks a proxy and --config reads a file; choose one")
	case len(args) == 0 && (f.Changed("user") || f.Changed("method")):
		return errors.New("--user and --method go with a key as argument")
	case f.Changed("who") && e.who == "", f.Changed("diff") && e.diff == "":
		return errors.New("--who needs a key and --diff a file")
	case f.Changed("keys") && e.diff == "":
		return errors.New("--keys goes with --diff")
	}
	return nil
}

// deciding is a configuration file as a snapshot that decides and serves nothing: only
// the file itself is read.
func deciding(file string) (*gate.Policy, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, _, err := parseConfig(file, text)
	if err != nil {
		return nil, err
	}
	return &gate.Policy{
		Rules: c.rules, Surfaces: c.surfaces, ReadOnly: c.config.ReadOnly, MaxTarget: c.config.Limits.TargetBytes,
	}, nil
}

func (e *explainer) tell(ctx context.Context, target string) (err error) {
	var answer *gate.Explanation
	if e.running != "" {
		answer, err = explain.Running(e.running).Explain(ctx, e.method, target, e.user)
	} else {
		var s *gate.Policy
		if s, err = deciding(e.file); err == nil {
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

func yesOrNo(yes bool) error {
	if yes {
		return nil
	}
	return &console.ExitError{Code: exitNo}
}

func (e *explainer) tellWho(ctx context.Context) (err error) {
	var answer *explain.Who
	if e.running != "" {
		answer, err = explain.Running(e.running).Who(ctx, e.who)
	} else {
		var key acl.Key
		var s *gate.Policy
		if key, err = explain.ParseKey(e.who); err != nil {
			return err
		}
		if s, err = deciding(e.file); err == nil {
			answer = explain.WhoMay(s, key)
		}
	}
	if err != nil {
		return err
	}
	return e.console.Print(answer, answer.WriteText)
}

func (e *explainer) tellWhat(ctx context.Context) (err error) {
	var answer *explain.What
	if e.running != "" {
		answer, err = explain.Running(e.running).What(ctx, e.what)
	} else {
		var s *gate.Policy
		if s, err = deciding(e.file); err == nil {
			answer = explain.WhatMay(s, e.what)
		}
	}
	if err != nil {
		return err
	}
	return e.console.Print(answer, answer.WriteText)
}

func (e *explainer) tellDiff(ctx context.Context) error {
	before, err := e.current(ctx)
	if err != nil {
		return err
	}
	after, err := deciding(e.diff)
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

// current is the table that the other one would replace.
func (e *explainer) current(ctx context.Context) (*gate.Policy, error) {
	if e.running == "" {
		return deciding(e.file)
	}
	table, err := explain.Running(e.running).Table(ctx)
	if err != nil {
		return nil, err
	}
	return table.Snapshot()
}

// existing is the keys to compare for.
func (e *explainer) existing(ctx context.Context) (keys []acl.Key, unread []string, err error) {
	switch e.keys {
	case "":
		client, err := e.connection.Client()
		if err != nil {
			return nil, nil, err
		}
		ctx, cancel := e.connection.Context(ctx)
		defer cancel()
		return explain.FetchKeys(ctx, client)
	case "-":
		return explain.ReadKeys(e.console.In(), "standard input")
	}
	file, err := os.Open(e.keys)
	if err != nil {
		return nil, nil, fmt.Errorf("reading keys: %w", err)
	}
	defer file.Close() // it was only read
	return explain.ReadKeys(file, e.keys)
}
