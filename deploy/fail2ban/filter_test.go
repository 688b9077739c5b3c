// Package fail2ban tests the filter for fail2ban with lines that the proxy writes.
package fail2ban

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/observe"
)

// auditLine returns the line of a refusal in the audit log.
func auditLine(change func(*observe.Record)) string {
	r := &observe.Record{
		Op:      gate.Operation{Method: "PUT", Path: "/v2/keys/conftool/a", Surface: gate.Keys, Key: "/conftool/a", Access: acl.Write, Rule: "/conftool"},
		Refusal: gate.RefuseIdentity, Status: 401, Started: time.Now(),
		Peer: gate.NewPeer(netip.MustParseAddrPort("192.0.2.1:4711"), nil),
	}
	change(r)
	var log bytes.Buffer
	observer := observe.New(observe.NewMetrics("test"), observe.NewRecords(observe.RecordOptions{Audit: &log}))
	observer.Answered(r)
	return log.String()
}

// banned returns the addresses that the filter finds in a log.
func banned(t *testing.T, log string) []string {
	t.Helper()
	if _, err := exec.LookPath("fail2ban-regex"); err != nil {
		t.Skip("fail2ban-regex is not installed")
	}
	file := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(file, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	filter, err := filepath.Abs("filter.conf")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("fail2ban-regex", "--out", "ip", file, filter).Output()
	if err != nil {
		t.Fatalf("fail2ban-regex: %v; output:\n%s", err, out)
	}
	return strings.Fields(string(out))
}

func TestAddressesThatGuessPasswordsAreFound(t *testing.T) {
	log := auditLine(func(r *observe.Record) { r.Op.Login, r.Op.Claimed = gate.LoginWrongPassword, "conftool" }) +
		auditLine(func(r *observe.Record) {
			r.Op.Login = gate.LoginUnknownUser
			r.Peer = gate.NewPeer(netip.MustParseAddrPort("[2001:db8::7]:443"), nil)
		}) +
		auditLine(func(r *observe.Record) {
			r.Op.Login, r.Op.Claimed, r.Refusal = gate.LoginThrottled, `a "quoted\ name`, gate.RefuseThrottled
			r.Peer = gate.NewPeer(netip.MustParseAddrPort("198.51.100.3:1"), nil)
		}) +
		"conf1001 etcd-tlsproxy[42]: " + auditLine(func(r *observe.Record) { // as the journal has it
		r.Op.Login = gate.LoginWrongPassword
		r.Peer = gate.NewPeer(netip.MustParseAddrPort("198.51.100.4:1"), nil)
	})
	if got, want := banned(t, log), []string{"192.0.2.1", "2001:db8::7", "198.51.100.3", "198.51.100.4"}; !slices.Equal(got, want) {
		t.Errorf("addresses found in the audit log: got %q, want %q; the log:\n%s", got, want, log)
	}
}

func TestOtherRefusalsBanNobody(t *testing.T) {
	log := ""
	for l := range gate.Login(gate.NumLogins) {
		if l != gate.LoginUnknownUser && l != gate.LoginWrongPassword && l != gate.LoginThrottled {
			log += auditLine(func(r *observe.Record) { r.Op.Login = l })
		}
	}
	// A client chooses the key, and an operator the names of users.
	forged := `","level":"INFO","msg":"request","verdict":"unauthorized","user":"-","known":"anonymous","login":"wrong_password","claimed":"","from":"203.0.113.9:1",`
	log += auditLine(func(r *observe.Record) {
		r.Op.Login, r.Op.Key, r.Op.Path = gate.LoginMissing, acl.Key("/"+forged), "/v2/keys/"+forged
	})
	log += auditLine(func(r *observe.Record) {
		r.Op.Login, r.Op.Identity = gate.LoginVerified, gate.Identity{Name: forged, Known: gate.ByPassword}
	})
	if got := banned(t, log); len(got) != 0 {
		t.Errorf("addresses found in lines about other refusals: got %q, want none; the log:\n%s", got, log)
	}
}

func TestTheFilterNamesOnlyReasonsThatExist(t *testing.T) {
	filter, err := os.ReadFile("filter.conf")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`"login":"\(\?:([a-z_|]+)\)"`).FindSubmatch(filter)
	if found == nil {
		t.Fatal("the filter: got no list of logins, want one")
	}
	for reason := range strings.SplitSeq(string(found[1]), "|") {
		exists := false
		for l := range gate.Login(gate.NumLogins) {
			exists = exists || l.String() == reason
		}
		if !exists {
			t.Errorf("the filter names the login %s: got none of this name, want one", reason)
		}
	}
}
