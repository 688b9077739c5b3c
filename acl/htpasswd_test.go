package acl

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const goodHash = "$apr1$abcdefgh$FzGOBQvzHZ3DRLL1O3Hnd1"

// bcryptOf72 is the salt and the hash of 72 times the letter a, with cost 4.
const bcryptOf72 = "p0soJlhLYJzGb7CCBeKNcOWAEoMSt4xCdPbITwaPRz/.OHTkIutwC"

func TestHtpasswdLinesThatAreRefused(t *testing.T) {
	refused := func(what, lines, want string) {
		t.Helper()
		t.Run(what, func(t *testing.T) {
			_, err := ParseUsers(NewHasher(HasherOptions{}), Source{Name: "f", Data: []byte(lines)})
			if err == nil {
				t.Fatalf("ParseUsers: got no error, want one with %q", want)
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("ParseUsers: got the error %q, want %q in it", err, want)
			}
			for _, secret := range []string{"s3cret", "abcdefgh", "FzGOB"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("ParseUsers: the error %q repeats %q from the line", err, secret)
				}
			}
		})
	}
	refused("plain text", "root:s3cret", `f:1: user "root": the hash is not of an accepted scheme`)
	refused("plain text with a scheme", "root:{PLAIN}s3cret", "not of an accepted scheme")
	refused("DES", "root:abcdefghijklm", "not of an accepted scheme")
	refused("md5-crypt", "root:$1$abcdefgh$FzGOBQvzHZ3DRLL1O3Hnd1", "not of an accepted scheme")
	refused("an empty hash", "root:", "not of an accepted scheme")
	refused("a locked user", "root:!"+goodHash, "not of an accepted scheme")
	refused("no colon", "\n# x\ns3cret", "f:3: there is no colon")
	refused("no name", ":"+goodHash, "f:1: the user name is empty")
	refused("a control byte in the name", "ro\tot:"+goodHash, "control character")
	refused("a name that is not UTF-8", "ro\xffot:"+goodHash, "UTF-8")
	refused("a name that is too long", strings.Repeat("x", 257)+":"+goodHash, "longer than 256")
	refused("a comment after an empty hash", "root::s3cret", "not of an accepted scheme")
	refused("a comment after plain text", "root:s3cret:x", "not of an accepted scheme")
	refused("two passwords with the same comment", "root:"+goodHash+":s3cret\nroot:$apr1$abcdefgh$FzGOBQvzHZ3DRLL1O3Hnd2:s3cret", "f:1 has another password for this user")
	refused("a short apr1 hash", "root:"+goodHash[:30], "not a valid apr1 hash")
	refused("an apr1 salt that is too long", "root:$apr1$abcdefghi$FzGOBQvzHZ3DRLL1O3Hnd1", "not a valid apr1 hash")
	refused("a blank after the hash", "root:"+goodHash+" ", "not a valid apr1 hash")
	refused("a bcrypt cost that starves", "root:$2y$31$"+bcryptOf72, "bcrypt cost")
	refused("a bcrypt version that no tool writes", "root:$2x$05$"+bcryptOf72, "not a valid bcrypt hash")
	refused("the beginning of a hash only", "root:{SHA}", "not a valid SHA hash")
	refused("a SSHA that is not base64", "root:{SSHA}"+strings.Repeat("A", 29), "not a valid SSHA hash")
	refused("a SHA of the wrong length", "root:{SHA}AAAA", "not a valid SHA hash")
	refused("rounds that starve", "root:$6$rounds=99999999$abcdefgh$"+strings.Repeat("x", 86), "rounds")
	refused("rounds that crypt would change", "root:$6$rounds=10$abcdefgh$"+strings.Repeat("x", 86), "f:1: user \"root\": the number of rounds of the hash is out of range (hint: use 1000 to 1000000 rounds)")
	refused("two passwords for one user", "root:"+goodHash+"\nroot:$apr1$abcdefgh$FzGOBQvzHZ3DRLL1O3Hnd2", "f:1 has another password for this user")
	refused("all errors are reported", "a:s3cret\n\nb:s3cret", "f:3:")
}

func TestAUserMayStandInSeveralFilesWithOnePassword(t *testing.T) {
	h := NewHasher(HasherOptions{})
	users, err := ParseUsers(h,
		Source{Name: "_", Data: []byte("# managed\r\nroot:" + goodHash + "\r\n\r\n \t\n")},
		Source{Name: "_conftool", Data: []byte("root:" + goodHash + "\nconftool:" + goodHash)})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(users.Names(), " "), "conftool root"; got != want {
		t.Errorf("Names: got %q, want %q", got, want)
	}
}

func TestTheNamesThatUsersMayHave(t *testing.T) {
	for name, good := range map[string]bool{
		"root": true, "Zoë": true, "a b": true, "#a": true, strings.Repeat("x", 256): true,
		"": false, "a:b": false, ":": false, strings.Repeat("x", 257): false, "a\n": false, "a\xff": false, "a\u200b": false,
	} {
		err := CheckName(name)
		if (err == nil) != good {
			t.Errorf("CheckName(%q): got the error %v, want it accepted: %t", name, err, good)
		}
		if err != nil && name != "" && name != ":" && strings.Contains(err.Error(), name) {
			t.Errorf("CheckName(%q): the error %q repeats the name", name, err)
		}
	}
	if got, want := (&ParseError{File: "f", Line: 2, Problem: "a problem"}).Error(), "f:2: a problem"; got != want {
		t.Errorf("an error without a name and a hint: got %q, want %q", got, want)
	}
}

func TestTextBehindASecondColonIsAComment(t *testing.T) {
	users, err := ParseUsers(NewHasher(HasherOptions{}), Source{Name: "f", Data: []byte("root:" + goodHash + ":the operator: 2 colons\nconftool:" + goodHash + ":\r\nroot:" + goodHash + "\n")})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(users.Names(), " "), "conftool root"; got != want {
		t.Errorf("Names: got %q, want %q", got, want)
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
				t.Errorf("ParseUsers of %d bytes: got an error of %d bytes, want at most 2000 a line", len(data), len(err.Error()))
			}
			return
		}
		for _, u := range users.sorted {
			if strings.HasPrefix(u.hash.text, "$2") && u.hash.text[4:6] > "06" || strings.Contains(u.hash.text, "rounds=") {
				return // accepted, but too slow to fuzz
			}
		}
		if ok, err := users.Verify(t.Context(), name, password, Client{}); err != nil || ok && !users.Has(name) {
			t.Errorf("Verify(%q): got %t, %v; want no error, and false for an unknown user", name, ok, err)
		}
		for _, known := range users.Names() {
			if err := CheckName(known); err != nil {
				t.Errorf("CheckName(%q) of a parsed user: got the error %v, want none", known, err)
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
			t.Errorf("running the test with GODEBUG=fips140=only: got %v, want it to pass; output:\n%s", err, out)
		}
		return
	}
	for text, good := range map[string]bool{
		"$apr1$salt4567$kfjEmSLlmSyxHVRjgxgEf.": false, "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=": false,
		"$2y$04$" + bcryptOf72:                                    false,
		"{SSHA}" + strings.Repeat("A", 40):                        false,
		"$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA": true,
		"$6$saltsalt$" + strings.Repeat("x", 86):                  true,
	} {
		h, err := parseHash(text)
		if (err == nil) != good {
			t.Errorf("parseHash(%.6s…) under FIPS 140: got the error %v, want it accepted: %t", text, err, good)
		}
		if good && h.matches("wrong") {
			t.Errorf("the hash %.6s… of another password: got a match, want none", text)
		}
	}
}
