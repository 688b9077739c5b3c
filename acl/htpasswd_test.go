package acl

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const goodHash = "$apr1$abcdefgh$FzGOBQvzHZ3DRLL1O3Hnd1"

// bcryptOf72 is salt and hash of 72 times the letter a, at cost 4.
const bcryptOf72 = "p0soJlhLYJzGb7CCBeKNcOWAEoMSt4xCdPbITwaPRz/.OHTkIutwC"

func TestHtpasswdLinesThatAreRefused(t *testing.T) {
	refused := func(what, lines, want string) {
		t.Helper()
		t.Run(what, func(t *testing.T) {
			_, err := ParseUsers(NewHasher(HasherOptions{}), Source{Name: "f", Data: []byte(lines)})
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
			for _, secret := range []string{"s3cret", "abcdefgh", "FzGOB"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q repeats the line", err)
				}
			}
		})
	}
	refused("plain text", "root:s3cret", `f:1: user "root": the hash is of no accepted kind`)
	refused("plain text with a scheme", "root:{PLAIN}s3cret", "no accepted kind")
	refused("DES", "root:abcdefghijklm", "no accepted kind")
	refused("md5-crypt", "root:$1$abcdefgh$FzGOBQvzHZ3DRLL1O3Hnd1", "no accepted kind")
	refused("an empty hash", "root:", "no accepted kind")
	refused("a locked user", "root:!"+goodHash, "no accepted kind")
	refused("no colon", "\n# x\ns3cret", "f:3: there is no colon")
	refused("no name", ":"+goodHash, "f:1: the user name is empty")
	refused("a control byte in the name", "ro\tot:"+goodHash, "control character")
	refused("a name that is not UTF-8", "ro\xffot:"+goodHash, "UTF-8")
	refused("a name that is too long", strings.Repeat("x", 257)+":"+goodHash, "longer than 256")
	refused("a second colon", "root:"+goodHash+":s3cret", "behind the hash")
	refused("a short apr1 hash", "root:"+goodHash[:30], "malformed")
	refused("an apr1 salt that is too long", "root:$apr1$abcdefghi$FzGOBQvzHZ3DRLL1O3Hnd1", "malformed")
	refused("a blank behind the hash", "root:"+goodHash+" ", "malformed")
	refused("a bcrypt cost that starves", "root:$2y$31$"+bcryptOf72, "bcrypt cost")
	refused("a bcrypt version that nobody writes", "root:$2x$05$"+bcryptOf72, "malformed")
	refused("a SHA of the wrong length", "root:{SHA}AAAA", "malformed")
	refused("rounds that starve", "root:$6$rounds=99999999$abcdefgh$"+strings.Repeat("x", 86), "rounds")
	refused("rounds that crypt would change", "root:$6$rounds=10$abcdefgh$"+strings.Repeat("x", 86), "malformed")
	refused("two passwords for one user", "root:"+goodHash+"\nroot:$apr1$abcdefgh$FzGOBQvzHZ3DRLL1O3Hnd2", "another password stands at f:1")
	refused("everything that is wrong is reported", "a:s3cret\n\nb:s3cret", "f:3:")
}

func TestAUserMayStandInSeveralFilesWithOnePassword(t *testing.T) {
	h := NewHasher(HasherOptions{})
	users, err := ParseUsers(h,
		Source{Name: "_", Data: []byte("# managed\r\nroot:" + goodHash + "\r\n\r\n")},
		Source{Name: "_conftool", Data: []byte("root:" + goodHash + "\nconftool:" + goodHash)})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(users.Names(), " "); got != "conftool root" {
		t.Errorf("users %s", got)
	}
}

func FuzzHtpasswd(f *testing.F) {
	f.Add([]byte(toolsFile(f)), "apr1", "apr1-Secret1")
	f.Add([]byte("root:"+goodHash+"\r\n#\n\nx"), "root", "")
	f.Add([]byte("a:{SSHA}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nb:$5$rounds=1000$a$"+strings.Repeat(".", 43)), "a", "b")
	h := NewHasher(HasherOptions{})
	f.Fuzz(func(t *testing.T, data []byte, name, password string) {
		users, err := ParseUsers(h, Source{Name: "f", Data: data})
		if err != nil {
			if len(err.Error()) > 2000*(1+strings.Count(string(data), "\n")) {
				t.Errorf("an error of %d bytes for a file of %d", len(err.Error()), len(data))
			}
			return
		}
		for _, u := range users.byOrder {
			if strings.HasPrefix(u.hash.text, "$2") && u.hash.text[4:6] > "06" || strings.Contains(u.hash.text, "rounds=") {
				return // right, but too slow to fuzz
			}
		}
		if ok, err := users.Verify(context.Background(), name, password, NeverSuspect); err != nil || ok && !users.Has(name) {
			t.Errorf("verifying: %v, %v", ok, err)
		}
		for _, known := range users.Names() {
			if err := CheckName(known); err != nil {
				t.Errorf("user %q: %v", known, err)
			}
		}
	})
}

func TestWhereFIPS140IsEnforcedOtherHashesAreRefusedWhenTheyAreRead(t *testing.T) {
	const variable = "ETCD_TLSPROXY_TEST_FIPS"
	if os.Getenv(variable) == "" {
		cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), variable+"=1", "GODEBUG=fips140=only")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	for text, good := range map[string]bool{
		"$apr1$salt4567$kfjEmSLlmSyxHVRjgxgEf.": false, "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=": false,
		"$2y$04$" + bcryptOf72: false,
		"$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA": true,
	} {
		h, err := parseHash(text)
		if (err == nil) != good {
			t.Errorf("%.6s: %v", text, err)
		}
		if good && h.matches("wrong") {
			t.Errorf("%.6s matches a wrong password", text)
		}
	}
}
