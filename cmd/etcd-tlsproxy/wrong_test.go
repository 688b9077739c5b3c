package main

import (
	"bytes"
	_ "embed"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

//go:embed testdata/wrong-command-lines.txt
var wrongCommandLines string

// commandLine is a line of that file.
type commandLine struct {
	words []string
	want  string
}

func readCommandLines(t *testing.T) (all []commandLine) {
	t.Helper()
	for line := range strings.Lines(wrongCommandLines) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		command, want, ok := strings.Cut(line, " => ")
		words := strings.Fields(command)
		for i, word := range words {
			if word == "''" {
				words[i] = ""
			}
		}
		if !ok || want == "" {
			t.Fatalf("%q: want a command line and a message", line)
		}
		all = append(all, commandLine{words, want})
	}
	return all
}

// runLine runs the program in this process.
func runLine(t *testing.T, words ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), words, &out, &errs)
	return code, out.String(), errs.String()
}

func TestAWrongCommandLineHasAStatusOfItsOwn(t *testing.T) {
	all := readCommandLines(t)
	t.Chdir(t.TempDir())
	table := "[tls]\ncertificate = \"c\"\nkey = \"k\"\n[acls]\n\"/\" = []\n"
	if err := os.WriteFile("table.toml", []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range all {
		code, stdout, stderr := runLine(t, line.words...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, line.want) || !strings.HasSuffix(stderr, " --help' for usage.\n") || strings.Contains(stderr, "secret") {
			t.Errorf("etcd-tlsproxy %q: got status %d, output %q and errors %q, want 2, no output, and %q with a hint at --help", line.words, code, stdout, stderr, line.want)
		}
	}
	if left, err := os.ReadDir("."); err != nil || len(left) != 1 {
		t.Errorf("files after wrong command lines: got %v (%v), want table.toml alone", left, err)
	}
}

// TestAFailureIsNoWrongCommandLine has the neighbors of wrong command lines: they could
// succeed on another machine or at another time.
func TestAFailureIsNoWrongCommandLine(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, line := range []string{
		"serve --config nothing.toml", "check-config --config nothing.toml", "ready --config nothing.toml", "ready --admin http://127.0.0.1:1",
		"explain --config nothing.toml /a", "explain --running=http://127.0.0.1:1 /a", "explain --config nothing.toml --who /a",
		"passwd list nothing", "passwd add --stdin nothing alice", "import --nginx nothing", "import --hiera nothing --fact site=eqiad",
		"member list --endpoints http://127.0.0.1:1", "member list --endpoints https://127.0.0.1:1 --ca-file nothing", "member list --user root --password-file nothing",
		"member add conf1004 http://conf1004.example.org:2380 --endpoints http://127.0.0.1:1", "member remove conf1004 --endpoints http://127.0.0.1:1",
		"cluster-health --endpoints http://127.0.0.1:1", "backup list --dir nothing", "backup verify nothing", "backup --data-dir nothing --dir nothing",
		"recover --backup nothing --members a=a", "dump --endpoints http://127.0.0.1:1", "load nothing", "migrate init --config nothing.toml", "migrate rehearse --config nothing.toml", "man nothing",
	} {
		if code, _, stderr := runLine(t, strings.Fields(line)...); code != 1 || strings.Contains(stderr, "--help") || stderr == "" {
			t.Errorf("etcd-tlsproxy %s: got status %d and %q, want 1 and a message that does not blame the command line", line, code, stderr)
		}
	}
}

func TestForIcingaAWrongCommandLineIsUnknown(t *testing.T) {
	for _, line := range []string{"cluster-health --lag-warning x --nagios", "cluster-health --nagios --output json", "cluster-health --nagios --proxy-port 99999", "cluster-health --nagios more"} {
		if code, stdout, _ := runLine(t, strings.Fields(line)...); code != 3 || !strings.HasPrefix(stdout, "ETCD UNKNOWN - ") {
			t.Errorf("etcd-tlsproxy %s: got status %d and %q, want 3 and ETCD UNKNOWN", line, code, stdout)
		}
	}
}

// anyText names the flags whose values cannot be wrong by themselves: names of files, of
// users and of hosts.
var anyText = strings.Fields("as ca-file cert-file config data-dir dir etcd etcd-service etcd-arg etcdctl file help htpasswd keys metrics-file nginx hiera pools password-file key-file owner " +
	"remote-shell user username wal-dir what write backup backup-wal-dir name domain host peer-ca-file peer-cert-file peer-key-file output yes version running diff method first dead")

// TestEveryFlagIsGivenWrongly finds flags without a wrong command line.
func TestEveryFlagIsGivenWrongly(t *testing.T) {
	tried := make(map[string]bool)
	for _, line := range readCommandLines(t) {
		if command, rest, err := newRoot().Find(line.words); err == nil {
			for _, word := range rest {
				if name, found := strings.CutPrefix(word, "--"); found {
					name, _, _ = strings.Cut(name, "=")
					tried[command.CommandPath()+" --"+name] = true
				}
			}
		}
	}
	connection := strings.Fields("endpoints timeout") // the same on each verb
	var visit func(*cobra.Command)
	visit = func(command *cobra.Command) {
		for _, sub := range command.Commands() {
			visit(sub)
		}
		if !command.IsAvailableCommand() || command.Name() == "help" || command.HasParent() && command.Parent().Name() == "completion" {
			return
		}
		command.Flags().VisitAll(func(f *pflag.Flag) {
			if name := command.CommandPath() + " --" + f.Name; !tried[name] && !slices.Contains(anyText, f.Name) && !slices.Contains(connection, f.Name) {
				t.Errorf("testdata/wrong-command-lines.txt has no line with %s", name)
			}
		})
	}
	visit(newRoot())
}
