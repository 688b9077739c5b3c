package daemon_test

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
)

// withdraw removes conftool from the htpasswd file, and leaves the other hashes as they are.
func (s *service) withdraw() {
	s.T.Helper()
	lines := slices.Collect(strings.Lines(s.Read("htpasswd")))
	s.Write("htpasswd", strings.Join(slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "conftool:") }), ""))
}

// startAudited starts a service with an audit log.
func startAudited(t *testing.T) *service {
	t.Helper()
	etcd := newStandIn(t, "etcd")
	etcd.Start()
	return startService(t, strings.Replace(daemontest.SeedConfig, "%s", etcd.URL, 1)+"[log]\naudit = \"audit.log\"\n")
}

func TestAMistakeInTheTableDelaysNoRemovalOfAUser(t *testing.T) {
	t.Parallel()
	for what, mistake := range map[string][2]string{
		"the table":  {`"/eventlogging" = []`, `"eventlogging" = []`},
		"the syntax": {"[limits]", "[limits"},
	} {
		s := startAudited(t)
		s.wantWrite("conftool", "conftool-1", 200)
		s.edit(mistake[0], mistake[1])
		s.wantReload(500)
		good := s.Read("htpasswd")
		s.withdraw()
		s.Eventually("the password of the removed user is refused", func() bool { return s.Put("conftool", "conftool-1") == 401 })
		s.wantWrite("root", "root-1", 200)
		if log := s.Read("audit.log"); !strings.Contains(log, "users removed: conftool") {
			t.Errorf("a mistake in %s: the audit log has no line about the removal:\n%s", what, log)
		}
		if old := s.status().Config.Old; !slices.Contains(old, access) {
			t.Errorf("a mistake in %s: in force as before are %q, want the rules among them", what, old)
		}
		s.Write("htpasswd", good)
		s.Eventually("a user who is back may log in", func() bool { return s.Put("conftool", "conftool-1") == 200 })
	}
}

func TestAMistakeInTheTableAdmitsNobodyNew(t *testing.T) {
	s := newService(t, daemontest.Echo)
	s.edit(`"/eventlogging" = []`, `"eventlogging" = []`)
	root := s.Read("htpasswd")
	s.WriteUsers(map[string]string{"conftool": "conftool-2", "alice": "alice-1"})
	all := s.Read("htpasswd")
	for line := range strings.Lines(root) {
		if strings.HasPrefix(line, "root:") {
			all += line
		}
	}
	s.Write("htpasswd", all)
	s.wantReload(500, access)
	s.wantWrite("root", "root-1", 200)
	s.wantWrite("conftool", "conftool-1", 401)
	s.wantWrite("conftool", "conftool-2", 401)
	s.wantWrite("alice", "alice-1", 401)
	if warnings := s.status().Config.Warnings; len(warnings) > 0 {
		t.Errorf("warnings about a user whose new password waits: got %q, want none", warnings)
	}
	s.edit(`"eventlogging" = []`, `"/eventlogging" = []`)
	s.wantReload(200)
	s.wantWrite("conftool", "conftool-2", 200)
}

func TestADamagedFileOfUsersRemovesNobody(t *testing.T) {
	s := newService(t, daemontest.Echo)
	s.edit(`"/eventlogging" = []`, `"eventlogging" = []`)
	s.Write("htpasswd", "root:hunter2\n")
	s.wantReload(500, `user "root": the hash is not of an accepted scheme`, "not a valid prefix")
	s.wantOld(access, "removed users and old passwords")
	s.wantWrite("conftool", "conftool-1", 200)
}

// TestAnAttemptHasTheTimeOfItsBeginning holds up a reload with a pipe. What changes meanwhile
// may not be part of it.
func TestAnAttemptHasTheTimeOfItsBeginning(t *testing.T) {
	t.Parallel()
	s := newService(t, daemontest.Echo)
	pipe := s.Path("pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	before := s.status().Config.Tried
	s.edit(`htpasswd = ["htpasswd"]`, `htpasswd = ["htpasswd", "pipe"]`)
	writer, err := os.OpenFile(pipe, os.O_WRONLY, 0) // which waits for the reader
	if err != nil {
		t.Fatal(err)
	}
	reading := time.Now()
	s.Write("none", "")
	if err := os.Rename(s.Path("none"), pipe); err != nil { // later attempts are not held up
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	var tried time.Time
	s.Eventually("the attempt has ended", func() bool {
		tried = s.status().Config.Tried
		return tried.After(before)
	})
	if tried.After(reading) {
		t.Errorf("an attempt that was reading at %v: got the time %v, want an earlier one", reading, tried)
	}
}

func TestAPasswordThatWaitsForTheTableIsNotThatOfAnUnknownUser(t *testing.T) {
	s := startAudited(t)
	s.edit(`"/eventlogging" = []`, `"eventlogging" = []`)
	s.wantReload(500)
	lines := slices.Collect(strings.Lines(s.Read("htpasswd")))
	kept := slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "root:") })
	s.WriteUsers(map[string]string{"root": "root-2", "alice": "alice-1"})
	s.Write("htpasswd", strings.Join(kept, "")+s.Read("htpasswd"))
	s.Eventually("the old password is refused", func() bool { return s.Put("root", "root-1") == 401 })
	for range 30 { // more than limits.login_burst
		s.wantWrite("alice", "alice-1", 401)
		s.wantWrite("root", "root-2", 401)
	}
	s.wantWrite("conftool", "conftool-1", 200)
	log := s.Read("audit.log")
	for _, want := range []string{
		`"users refused until the mistake is mended: alice, root"`,
		`"login":"password_not_in_force","claimed":"root"`, `"login":"password_not_in_force","claimed":"alice"`, `"login":"wrong_password","claimed":"root"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the audit log: got no %s:\n%s", want, log)
		}
	}
	if strings.Contains(log, "users removed") || strings.Contains(log, "throttled") || strings.Contains(log, "unknown_user") {
		t.Errorf("the audit log: got a removed user, an unknown one or a throttled login:\n%s", log)
	}
	status := s.status()
	if waiting := status.Config.UsersWaiting; !slices.Equal(waiting, []string{"alice", "root"}) || !strings.Contains(status.Problems[0], "are not in force: alice, root. The reason: ") {
		t.Errorf("the status: got %q waiting and the problem %q, want alice and root in both", waiting, status.Problems[0])
	}
	s.edit(`"eventlogging" = []`, `"/eventlogging" = []`)
	s.wantReload(200)
	s.wantWrite("root", "root-2", 200)
	if log := s.Read("audit.log"); !strings.Contains(log, `"users not refused any more: alice, root"`) {
		t.Errorf("the audit log after the mistake was mended: got no line that they are not refused any more:\n%s", log)
	}
}
