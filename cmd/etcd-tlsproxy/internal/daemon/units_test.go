package daemon_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
)

// edit replaces a text of the configuration.
func (s *service) edit(old, next string) {
	s.T.Helper()
	text := s.Read("etcd-tlsproxy.toml")
	if !strings.Contains(text, old) {
		s.T.Fatalf("the configuration does not contain %q:\n%s", old, text)
	}
	s.Write("etcd-tlsproxy.toml", strings.Replace(text, old, next, 1))
}

// revoke removes conftool from the users.
func (s *service) revoke() { s.WriteUsers(map[string]string{"root": "root-1"}) }

func (s *service) wantReload(status int, texts ...string) {
	s.T.Helper()
	got, body := s.Admin("POST", "/-/reload")
	for _, text := range texts {
		if !strings.Contains(body, text) {
			s.T.Errorf("reload: got %q, want it to contain %q", body, text)
		}
	}
	if got != status {
		s.T.Errorf("reload: got status %d with %q, want %d", got, body, status)
	}
}

func (s *service) wantOld(units ...string) {
	s.T.Helper()
	if got := s.status().Config.Old; !slices.Equal(got, units) {
		s.T.Errorf("parts in force as before: got %q, want %q", got, units)
	}
}

const (
	certificates = "certificates and client CAs"
	access       = "users, rules and surfaces"
	others       = "other settings"
)

func (s *service) wantWrite(user, password string, want int) {
	s.T.Helper()
	if got := s.Put(user, password); got != want {
		s.T.Errorf("a write by %s: got status %d, want %d", user, got, want)
	}
}

func TestAMistakeInALimitDelaysNoRevocation(t *testing.T) {
	s := newService(t, daemontest.Echo)
	s.wantWrite("conftool", "conftool-1", 200)
	s.edit("[limits]", "[limits]\nwatches = 0")
	s.revoke()
	s.wantReload(500, others, "limits.watches: the value 0 is out of range")
	s.wantWrite("conftool", "conftool-1", 401)
	s.wantOld(others)
	s.wantReload(500, others) // nothing more of it is applied, and the users stay the new ones
	failed, named := strings.Count(s.Log.String(), `msg="reload failed`), strings.Count(s.Log.String(), `msg="reload failed; in force as before: `+others+`" error=`)
	if failed < 2 || named != failed {
		t.Errorf("the service log: got %d reloads that failed, and %d lines that name the other settings as before; want 2 of each:\n%s", failed, named, s.Log)
	}
	s.edit("watches = 0", "wotches = 1")
	s.WriteUsers(map[string]string{"root": "root-1", "conftool": "conftool-2"})
	s.wantReload(500, "limits.wotches: there is no such key")
	s.wantWrite("conftool", "conftool-2", 200)
	s.edit("wotches = 1", "")
	s.wantReload(200)
	s.wantOld()
	s.WaitForMetric("etcd_tlsproxy_config_last_reload_successful 1")
}

func TestASettingThatNeedsARestartDelaysNoRevocation(t *testing.T) {
	s := newService(t, daemontest.Echo)
	s.wantWrite("conftool", "conftool-1", 200)
	s.edit("[limits]", "read_only = false\n[limits]\nwatches = 7")
	s.edit("read_only = false\n", "")
	s.revoke()
	before := s.Serial()
	s.WriteCertificate()
	s.wantReload(200, "reloaded\na changed setting waits for a restart: limits.watches is 20000, and 7 after a restart\n")
	s.wantWrite("conftool", "conftool-1", 401)
	if s.Serial() == before {
		t.Error("the certificate after the reload: got the old one, want the new one")
	}
	s.WaitForMetric("etcd_tlsproxy_config_restart_pending 1")
	s.WaitForMetric("etcd_tlsproxy_config_last_reload_successful 1")
	now := s.status()
	const want = "limits.watches is 20000, and 7 after a restart"
	if !slices.Equal(now.Config.RestartPending, []string{want}) || now.Watches.Limit != 20000 {
		t.Errorf("settings that wait for a restart: got %q with %d watches in force, want %q with 20000", now.Config.RestartPending, now.Watches.Limit, want)
	}
	if problems := strings.Join(now.Problems, " "); !strings.Contains(problems, want) {
		t.Errorf("the problems: got %q, want one with %s", problems, want)
	}
	if !strings.Contains(s.Log.String(), `msg="a changed setting waits for a restart" key=limits.watches running=20000 file=7`) {
		t.Errorf("the log does not name the setting that waits:\n%s", s.Log)
	}
	s.edit("watches = 7\n", "")
	s.wantReload(200)
	s.WaitForMetric("etcd_tlsproxy_config_restart_pending 0")
}

func TestNothingWaitsForARestartInAFileThatCannotBeRead(t *testing.T) {
	s := newService(t, daemontest.Echo)
	s.edit("[limits]", "[limits]\nwatches = 7")
	s.wantReload(200, "limits.watches is 20000, and 7 after a restart")
	text := s.Read("etcd-tlsproxy.toml")
	s.Write("etcd-tlsproxy.toml", "listen = ")
	s.wantReload(500)
	if pending := s.status().Config.RestartPending; len(pending) != 0 {
		t.Errorf("settings that wait for a restart, after a mistake in the syntax: got %q, want none", pending)
	}
	s.WaitForMetric("etcd_tlsproxy_config_restart_pending 0")
	s.Write("etcd-tlsproxy.toml", text)
	s.wantReload(200, "limits.watches is 20000, and 7 after a restart")
	s.WaitForMetric("etcd_tlsproxy_config_restart_pending 1")
}

func TestAMistakeInTheTableDelaysNoRenewal(t *testing.T) {
	s := newService(t, daemontest.Echo)
	before := s.Serial()
	s.edit(`"/eventlogging" = []`, `"eventlogging" = []`)
	s.WriteCertificate()
	s.wantReload(500, access, "not a valid prefix")
	if s.Serial() == before {
		t.Error("the certificate after a mistake in the table: got the old one, want the new one")
	}
	s.wantOld(access)

	before = s.Serial()
	s.Write("etcd-tlsproxy.toml", "listen = ")
	s.WriteCertificate()
	s.wantReload(500, certificates, access, others)
	if s.Serial() == before {
		t.Error("the certificate after a mistake in the syntax: got the old one, want the new one")
	}
	s.wantOld("settings of "+certificates, access, others)
	s.wantWrite("conftool", "conftool-1", 200)
}

func TestAMistakeInACertificateDelaysNoRevocation(t *testing.T) {
	s := newService(t, daemontest.Echo)
	s.wantWrite("conftool", "conftool-1", 200)
	key, before := s.Read("server.key"), s.Serial()
	s.WriteCertificate()
	s.Write("server.key", key)
	s.edit("listen", "read_only = true\nlisten")
	s.revoke()
	s.wantReload(500, certificates, "the key does not belong to the certificate")
	if s.Serial() != before {
		t.Error("the certificate after a mistake in it: got another one, want the old one")
	}
	s.wantWrite("root", "root-1", 403)
	s.edit("read_only = true\n", "")
	s.wantReload(500)
	s.wantWrite("conftool", "conftool-1", 401)
	s.wantOld(certificates)
}

func TestUsersAndRulesAreAppliedOnlyTogether(t *testing.T) {
	s := newService(t, daemontest.Echo)
	s.wantWrite("conftool", "conftool-1", 200)
	// The name conftool gets another meaning: another person, and no right to /conftool.
	s.edit(`"/conftool" = ["root", "conftool"]`, `"/conftool" = ["root"]`)
	s.edit(`"/eventlogging" = []`, `"eventlogging" = []`)
	s.WriteUsers(map[string]string{"root": "root-1", "conftool": "another person"})
	s.wantReload(500, access)
	s.wantWrite("conftool", "another person", 401)
	s.wantWrite("conftool", "conftool-1", 401) // the file has it no more
	s.edit(`"eventlogging" = []`, `"/eventlogging" = []`)
	s.Write("htpasswd", "root:hunter2\n")
	s.edit("listen", "read_only = true\nlisten")
	s.wantReload(500, access, `htpasswd:1: user "root": the hash is not of an accepted scheme`)
	s.wantWrite("conftool", "conftool-1", 403) // read_only is in force
	s.edit("read_only = true\n", "")
	s.wantReload(500)
	s.wantWrite("conftool", "conftool-1", 401) // a damaged file gives nobody access again
	// The old users again: now the new rule is in force.
	s.WriteUsers(map[string]string{"root": "root-1", "conftool": "conftool-1"})
	s.wantReload(200)
	s.wantWrite("conftool", "conftool-1", 401)
	if strings.Contains(s.Log.String(), "hunter2") {
		t.Errorf("the log repeats a password:\n%s", s.Log)
	}
}

func TestNewUnitsThatContradictOldOnesAreNotApplied(t *testing.T) {
	etcd := newStandIn(t, "etcd")
	etcd.Start()
	config := strings.Replace(strings.Replace(daemontest.SeedConfig, "%s", etcd.URL, 1), `key = "server.key"`, "key = \"server.key\"\nclient_ca = \"ca.crt\"\nclient_name = \"uri\"", 1)
	pki := newService(t, daemontest.Echo).PKI // any CA
	s := &service{daemontest.StartWith(t, config+"\"/spiffe\" = [\"spiffe://a\"]\n", map[string]string{"ca.crt": string(pki.CA())})}
	s.edit(`client_name = "uri"`, `client_name = "cn"`)
	s.edit(`"/spiffe" = ["spiffe://a"]`, `"spiffe" = []`)
	s.edit("listen", "read_only = true\nlisten")
	s.wantReload(500, certificates, access, others, "acls.spiffe", "not a valid prefix")
	s.wantWrite("conftool", "conftool-1", 200)
}

func TestAReloadThatFailsIsInTheAuditLog(t *testing.T) {
	etcd := newStandIn(t, "etcd")
	etcd.Start()
	s := startService(t, strings.Replace(daemontest.SeedConfig, "%s", etcd.URL, 1)+"[log]\naudit = \"audit.log\"\n")
	s.edit(`"/conftool" = ["root", "conftool"]`, `"conftool" = ["root"]`)
	s.edit("[limits]", "[limits]\nbody_bytes = 2000")
	s.wantReload(500)
	s.edit(`"conftool" = ["root"]`, `"/conftool" = ["root", "conftool"]`)
	s.wantReload(200)
	s.wantReload(200) // nothing is new
	var got []string
	for line := range strings.SplitSeq(strings.TrimSpace(s.Read("audit.log")), "\n") {
		var entry struct {
			Msg, Error   string
			Changed, Old []string
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("the line %s: %v", line, err)
		}
		got = append(got, fmt.Sprintf("%s %s %s %t", entry.Msg, entry.Changed, entry.Old, strings.Contains(entry.Error, "not a valid prefix")))
	}
	want := []string{"start [] [] false", "reload [settings: limits.body_bytes is 2000 instead of 10485760] [] false", "reload failed [] [users, rules and surfaces] true", "reload [nothing; the mistake in the files is gone] [] false"}
	if !slices.Equal(got, want) {
		t.Errorf("the audit log of a mistake in the table, which was mended: got %q, want %q", got, want)
	}
}

func TestAReloadSaysWhatItChanged(t *testing.T) {
	etcd := newStandIn(t, "etcd")
	etcd.Start()
	s := startService(t, strings.Replace(daemontest.SeedConfig, "%s", etcd.URL, 1)+"[log]\naudit = \"audit.log\"\n")
	s.WriteCertificate()
	s.WriteUsers(map[string]string{"root": "root-2", "alice": "alice-1"})
	s.edit(`"/conftool" = ["root", "conftool"]`, `"/conftool" = ["root"]`)
	s.edit(`"/eventlogging" = []`, `"/new" = []`)
	s.edit("[limits]", "[surfaces]\nmembers = [\"root\"]\n[limits]\nbody_bytes = 2000")
	s.wantReload(200)
	want := []string{
		"users added: alice", "users removed: conftool", "users changed: root",
		"rules added: /new (read by everyone; write by everyone)", "rules removed: /eventlogging (read by everyone; write by everyone)",
		"rules changed: /conftool (write by root instead of conftool, root)",
		"surfaces added: members", "settings: limits.body_bytes is 2000 instead of 10485760",
	}
	last := ""
	for line := range strings.SplitSeq(strings.TrimSpace(s.Read("audit.log")), "\n") {
		last = line
	}
	var entry struct {
		Msg     string
		Changed []string
	}
	if err := json.Unmarshal([]byte(last), &entry); err != nil || entry.Msg != "reload" || len(entry.Changed) != len(want)+1 ||
		!strings.HasPrefix(entry.Changed[0], "certificates: server CN=etcd-tlsproxy until ") || !slices.Equal(entry.Changed[1:], want) {
		t.Errorf("the audit log's line about the reload: got %s (%v), want the new certificate and %q", last, err, want)
	}
	for _, change := range want {
		if !strings.Contains(s.Log.String(), change) {
			t.Errorf("the service log: got no %q:\n%s", change, s.Log)
		}
	}
}

func TestAReloadTellsOtherEndpointsFromOtherConnections(t *testing.T) {
	etcd, other := newStandIn(t, "etcd"), newStandIn(t, "other")
	etcd.Start()
	other.Start()
	config := strings.Replace(strings.Replace(daemontest.SeedConfig, "%s", etcd.URL, 1), "[tls]", "user = \"proxy\"\npassword_file = \"password\"\n[tls]", 1)
	s := &service{daemontest.StartWith(t, config+"[log]\naudit = \"audit.log\"\n", map[string]string{"password": "one\n"})}
	reloaded := func(change func()) []string {
		before := s.Read("audit.log")
		change()
		s.wantReload(200)
		var entry struct{ Changed []string }
		if added := strings.TrimPrefix(s.Read("audit.log"), before); added != "" {
			if err := json.Unmarshal([]byte(added), &entry); err != nil {
				t.Fatalf("the audit log's line about the reload: got %q, %v", added, err)
			}
		}
		return entry.Changed
	}
	for _, c := range []struct {
		change func()
		want   string
	}{
		{func() { s.edit("[limits]", "[limits]\nupstream_timeout = \"29s\"") }, "settings: limits.upstream_timeout is \"29s\" instead of \"30s\""},
		{func() { s.Write("password", "two\n") }, "contents of files: upstream.password_file"},
		{func() { s.edit(etcd.URL, other.URL) }, fmt.Sprintf("settings: upstream.endpoints is [%q] instead of [%q]", other.URL, etcd.URL)},
	} {
		if got := reloaded(c.change); !slices.Equal(got, []string{c.want}) {
			t.Errorf("what a reload changed: got %q, want only %q", got, c.want)
		}
	}
}

func TestAReloadThatChangesNothingInForceSaysSo(t *testing.T) {
	etcd := newStandIn(t, "etcd")
	etcd.Start()
	s := startService(t, strings.Replace(daemontest.SeedConfig, "%s", etcd.URL, 1)+"[log]\naudit = \"audit.log\"\n")
	reloaded := func(old, next string) (audit, service string) {
		audit, service = s.Read("audit.log"), s.Log.String()
		s.edit(old, next)
		s.wantReload(200)
		return strings.TrimPrefix(s.Read("audit.log"), audit), strings.TrimPrefix(s.Log.String(), service)
	}
	const nothing = "nothing in force has changed"
	if audit, service := reloaded("[limits]", "# a comment\n[limits]"); audit != "" || !strings.Contains(service, nothing) || strings.Contains(service, "changed=[]") {
		t.Errorf("a reload of a comment: got %q in the audit log and %q in the service log, want nothing and %q", audit, service, nothing)
	}
	const waits = `"changed":[],"restart_pending":["limits.watches is 20000, and 7 after a restart"]`
	audit, service := reloaded("[limits]", "[limits]\nwatches = 7")
	if !strings.Contains(audit, waits) || !strings.Contains(service, "20000, and 7 after a restart") {
		t.Errorf("a reload of a setting that waits: got %q in the audit log and %q in the service log, want %s", audit, service, waits)
	}
	if audit, service := reloaded("# a comment", "# another"); audit != "" || !strings.Contains(service, nothing) {
		t.Errorf("a comment while a setting waits: got %q in the audit log and %q in the service log, want nothing and %q", audit, service, nothing)
	}
	if audit, _ := reloaded("watches = 7\n", ""); !strings.Contains(audit, `"changed":[],"restart_pending":[],`) {
		t.Errorf("after the setting was taken back: got %q in the audit log, want that nothing waits", audit)
	}
	if audit, _ := reloaded(`audit = "audit.log"`, `audit = "audit.log"`+"\nlevel = \"debug\""); !strings.Contains(audit, `settings: log.level is \"debug\" instead of \"info\"`) {
		t.Errorf("after another level: got %q in the audit log, want both values", audit)
	}
}

func TestTheConfigurationInForceTellsMistakesFromSettingsThatWait(t *testing.T) {
	s := newService(t, daemontest.Echo)
	s.edit("[limits]", "[limits]\nwatches = 7\nbody_bytes = 2000")
	s.edit(`"/conftool" = ["root", "conftool"]`, `"/conftool" = ["root"]`)
	s.edit(`"/eventlogging" = []`, `"eventlogging" = []`)
	s.wantReload(500, access, "\na changed setting waits for a restart: limits.watches is 20000, and 7 after a restart\n")
	_, shown := s.Admin("GET", "/-/config")
	for _, want := range []string{
		"# The files are not in force as a whole. In force as before: " + access + ". The reason:\n#   ", "not a valid prefix",
		"\nwatches = 20000 # as before, until a restart applies " + s.Path("etcd-tlsproxy.toml") + ":",
		"\nbody_bytes = 2000 # " + s.Path("etcd-tlsproxy.toml") + ":",
		`"/conftool" = ["root", "conftool"] # as before, because of a mistake in the file` + "\n",
		`"/eventlogging" = [] # as before, because of a mistake in the file` + "\n",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("after a mistake in the table: got\n%s\nwant %q", shown, want)
		}
	}
	s.edit(`"eventlogging" = []`, `"/eventlogging" = []`)
	s.wantReload(200)
	if _, shown := s.Admin("GET", "/-/config"); strings.Contains(shown, "mistake") || !strings.Contains(shown, "\nwatches = 20000 # as before, until") || strings.HasPrefix(shown, "#") {
		t.Errorf("after the mistake was mended: got\n%s\nwant only the setting that waits", shown)
	}
}

func TestTheLogsOfTwoStartsShowAnotherTable(t *testing.T) {
	etcd := newStandIn(t, "etcd")
	etcd.Start()
	seed := strings.Replace(daemontest.SeedConfig, "%s", etcd.URL, 1) + "[log]\naudit = \"audit.log\"\n"
	type entry struct {
		Msg, Table string
		Rules      []string
	}
	last := func(s *service) (e entry) {
		lines := strings.Split(strings.TrimSpace(s.Read("audit.log")), "\n")
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &e); err != nil {
			t.Fatal(err)
		}
		if len(e.Table) != 64 || !strings.Contains(s.Log.String(), e.Table) {
			t.Errorf("got the digest %q in the audit log, and in the service log:\n%s", e.Table, s.Log)
		}
		return e
	}
	started := startService(t, seed)
	one := last(started)
	want := []string{"/ (read by everyone; write by root)", "/conftool (read by everyone; write by conftool, root)", "/eventlogging (read by everyone; write by everyone)"}
	if one.Msg != "start" || !slices.Equal(one.Rules, want) {
		t.Errorf("at the start: got %+v, want the rules %q", one, want)
	}
	if again := last(startService(t, seed)); again.Table != one.Table {
		t.Errorf("an equal start: got the digest %s, want %s", again.Table, one.Table)
	}
	seen := map[string]string{one.Table: "the first start"}
	for what, edit := range map[string][2]string{
		"a rule":    {`"/conftool" = ["root", "conftool"]`, `"/conftool" = ["root"]`},
		"a reader":  {`"/eventlogging" = []`, `"/eventlogging" = { read = ["root"], write = ["root"] }`},
		"a surface": {"[limits]", "[surfaces]\nmembers = [\"root\"]\n[limits]"},
		"read_only": {"listen", "read_only = true\nlisten"},
		"match":     {"listen", "match = \"both\"\nlisten"},
	} {
		text := strings.Replace(seed, edit[0], edit[1], 1)
		if text == seed {
			t.Fatalf("%s: the configuration has no %s", what, edit[0])
		}
		other := last(startService(t, text))
		if before := seen[other.Table]; before != "" {
			t.Errorf("a start with another %s: got the digest of %s", what, before)
		}
		seen[other.Table] = what
	}
	started.edit(`"/conftool" = ["root", "conftool"]`, `"/conftool" = ["root"]`)
	started.wantReload(200)
	if e := last(started); e.Msg != "reload" || seen[e.Table] != "a rule" {
		t.Errorf("after a reload: got %+v, want the digest of a start with the same rule", e)
	}
}

func TestTheLogsAreReloaded(t *testing.T) {
	s := newService(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	s.Write("etcd-tlsproxy.toml", s.Read("etcd-tlsproxy.toml")+"[log]\naudit = \"one.log\"\naccess = \"access.log\"\nformat = \"json\"\nlevel = \"error\"\n")
	s.wantReload(200)
	s.Put("conftool", "conftool-1")
	s.Eventually("the new logs have the request", func() bool {
		return strings.Contains(s.Read("one.log"), `"verdict":"allowed"`) && strings.Contains(s.Read("access.log"), `"method":"PUT"`)
	})
	s.edit("one.log", "two.log")
	before := s.Log.String()
	s.wantReload(200)
	s.Put("conftool", "conftool-1")
	s.Eventually("the newest log has the request", func() bool { return strings.Contains(s.Read("two.log"), `"verdict":"allowed"`) })
	if after := s.Log.String(); after != before {
		t.Errorf("the service log at the level error: got more lines\n%s", after[len(before):])
	}
	s.edit("two.log", "no/folder/three.log")
	s.revoke()
	s.wantReload(500, "logs", "no such file or directory")
	s.wantWrite("conftool", "conftool-1", 401)
	s.Eventually("the old log has the refusal", func() bool { return strings.Contains(s.Read("two.log"), `"verdict":"unauthorized"`) })
	s.wantOld("logs")
}

func TestARuleThatIsRemovedIsNamedNowhere(t *testing.T) {
	s := startAudited(t)
	s.edit(`"/" = ["root"]`+"\n", "")
	s.edit(`"/eventlogging" = []`, `"/eventlogging" = ["nobody"]`)
	s.wantReload(200)
	s.wantWrite("conftool", "conftool-1", 200)
	log := s.Read("audit.log")
	for _, want := range []string{"rules removed: / (read by everyone; write by root)", `rules changed: /eventlogging (write by \"nobody\" instead of everyone)`} {
		if !strings.Contains(log, want) {
			t.Errorf("the audit log: got no %q:\n%s", want, log)
		}
	}
	for _, rule := range s.status().Rules {
		if rule.Prefix == "/" {
			t.Errorf("the rules of the status: got %+v, want no rule for /", rule)
		}
	}
	if _, metrics := s.Admin("GET", "/metrics"); strings.Contains(metrics, `rule="/"`) {
		t.Error("the metrics: got a series of the rule /, want none")
	}
}
