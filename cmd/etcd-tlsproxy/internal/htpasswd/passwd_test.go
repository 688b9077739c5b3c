package htpasswd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"etcd-tlsproxy/proxy/proxytest"
)

// testCost is bcrypt's lowest cost, for tests.
const testCost = bcrypt.MinCost

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// An apr1 hash of "a" with the salt "saltsalt".
const stored = "$apr1$saltsalt$OEnK0QmmvoDzFw9W2yFYT/"

func TestNewPasswordsAreAcceptedByTheProxyAndByNginx(t *testing.T) {
	path := write(t, "")
	passwords := map[string]string{"bcrypt": "a b:c\"\u00fc", "sha512-crypt": strings.Repeat("x", 255), "apr1": "p w"}
	for _, scheme := range Schemes() {
		cost := DefaultCost
		if scheme == "bcrypt" {
			cost = testCost
		}
		hash, err := Hash(scheme, cost, passwords[scheme])
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := Hash(scheme, cost, passwords[scheme]); again == hash {
			t.Errorf("%s: two hashes have one salt", scheme)
		}
		if err := Update(path, false, func(f *File) ([]byte, error) { return f.Add(scheme, hash) }); err != nil {
			t.Fatal(err)
		}
	}
	file, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := file.Users(); !slices.Equal(got, []User{{"apr1", "apr1"}, {"bcrypt", "bcrypt"}, {"sha512-crypt", "sha512-crypt"}}) {
		t.Errorf("%v", got)
	}
	ask := func(string, string) bool { return true }
	if proxytest.FindNginx() {
		nginx, err := proxytest.StartNginx(t.TempDir(), func(addr string) string {
			return fmt.Sprintf("server { listen %s; location / { auth_basic x; auth_basic_user_file %s; return 404; } location /in/ { auth_basic x; auth_basic_user_file %[2]s; alias %s/; } }", addr, path, filepath.Dir(path))
		})
		if err != nil {
			t.Fatal(err)
		}
		defer nginx.Close()
		ask = func(user, password string) bool {
			req, err := http.NewRequest("GET", "http://"+nginx.Addr+"/in/htpasswd", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.SetBasicAuth(user, password)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode == 200
		}
		if ask("bcrypt", "wrong") {
			t.Error("nginx lets a wrong password in")
		}
	}
	for user, password := range passwords {
		if right, err := file.Verify(context.Background(), user, password); !right || err != nil {
			t.Errorf("%s: %v, %v", user, right, err)
		}
		if wrong, err := file.Verify(context.Background(), user, password+"x"); wrong || err != nil {
			t.Errorf("%s with a wrong password: %v, %v", user, wrong, err)
		}
		if !ask(user, password) {
			t.Errorf("nginx does not let %s in", user)
		}
	}
}

func TestAllOtherBytesStay(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	others := []string{"# root: a comment\n", "\n", "  \n", "a:" + stored + "\n", "b:" + stored + "\r\n", "#x:" + stored + "\n", "\u00fc:" + stored + "\n"}
	for range 40 {
		random.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
		end := []string{"\n", "\r\n", ""}[random.IntN(3)]
		before := strings.Join(others[:random.IntN(len(others))], "")
		after := strings.Join(others[len(others)-random.IntN(2):], "")
		if end == "" {
			after = ""
		}
		path := write(t, before+"root:"+stored+end+after)
		step := func(what, want string, edit func(f *File) ([]byte, error)) {
			t.Helper()
			if err := Update(path, false, edit); err != nil {
				t.Fatalf("%s in %q: %v", what, read(t, path), err)
			}
			if got := read(t, path); got != want {
				t.Fatalf("%s: %q, want %q", what, got, want)
			}
		}
		hash := strings.Replace(stored, "saltsalt", "newnewne", 1)
		step("change", before+"root:"+hash+end+after, func(f *File) ([]byte, error) { return f.Change("root", hash) })
		added := before + "root:" + hash + end + after
		if !strings.HasSuffix(added, "\n") {
			added += "\n"
		}
		step("add", added+"new:"+hash+"\n", func(f *File) ([]byte, error) { return f.Add("new", hash) })
		step("remove", without(added, "root:"+hash)+"new:"+hash+"\n", func(f *File) ([]byte, error) { return f.Remove("root") })
	}
}

// without is a text without a line.
func without(text, line string) string {
	var kept []string
	for l := range strings.SplitAfterSeq(text, "\n") {
		if strings.TrimRight(l, "\r\n") != line {
			kept = append(kept, l)
		}
	}
	return strings.Join(kept, "")
}

func TestWhatCannotWorkIsRefusedAndNothingIsWritten(t *testing.T) {
	good := "root:" + stored + "\n"
	path := write(t, good)
	refused := func(says string, edit func(f *File) ([]byte, error)) {
		t.Helper()
		if err := Update(path, false, edit); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	for user, says := range map[string]string{
		"": "empty", "a:b": "colon", "a\nb": "control", "a\x00": "control", "#a": "comment", " a": "blank", "\xff": "UTF-8", strings.Repeat("a", 257): "256", "root": "already",
	} {
		refused(says, func(f *File) ([]byte, error) { return f.Add(user, stored) })
	}
	refused("no user", func(f *File) ([]byte, error) { return f.Change("other", stored) })
	refused("no user", func(f *File) ([]byte, error) { return f.Remove("other") })
	refused("would not be accepted", func(f *File) ([]byte, error) { return f.Add("other", "plain") })
	if got := read(t, path); got != good {
		t.Errorf("%q", got)
	}
	for _, c := range []struct{ scheme, password, says string }{
		{"bcrypt", "", "empty"}, {"bcrypt", strings.Repeat("x", 73), "72 bytes"}, {"apr1", strings.Repeat("x", 256), "255 bytes"}, {"bcrypt", "a\x00b", "control"}, {"plain", "x", "no way"},
	} {
		if _, err := Hash(c.scheme, DefaultCost, c.password); err == nil || !strings.Contains(err.Error(), c.says) || c.password != "" && strings.Contains(err.Error(), c.password) {
			t.Errorf("%s, %d bytes: %v", c.scheme, len(c.password), err)
		}
	}
	if _, err := Hash("bcrypt", bcrypt.MinCost, strings.Repeat("x", 72)); err != nil {
		t.Error(err)
	}
	if CheckHash("bcrypt", 15) == nil || CheckHash("bcrypt", 3) == nil || CheckHash("apr1", 12) == nil {
		t.Error("a cost out of range is taken")
	}
}

func TestABrokenFileIsToldLineByLineAndNotTouched(t *testing.T) {
	broken := "root:" + stored + "\nno colon\nx:plain\n"
	path := write(t, broken)
	err := Update(path, false, func(f *File) ([]byte, error) { return f.Add("a", stored) })
	for _, says := range []string{"htpasswd:2: ", `htpasswd:3: user "x"`} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	if read(t, path) != broken {
		t.Error("it was touched")
	}
}

func TestModeOwnerAndLinkStay(t *testing.T) {
	path := write(t, "")
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 1234, 4321); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Update(link, false, func(f *File) ([]byte, error) { return f.Add("a", stored) }); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if before.Mode() != after.Mode() || owner(before) != owner(after) || os.SameFile(before, after) {
		t.Errorf("%v %v, was %v %v", after.Mode(), owner(after), before.Mode(), owner(before))
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced")
	}
}

func TestEditsAtTheSameTimeAllCount(t *testing.T) {
	path := write(t, "")
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			if err := Update(path, false, func(f *File) ([]byte, error) { return f.Add(fmt.Sprintf("user%d", i), stored) }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	file, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(file.Users()); n != 40 {
		t.Errorf("%d users, want 40", n)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestANewFileIsMadeOnlyWhereThereIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "htpasswd")
	add := func(user string, create bool) error {
		return Update(path, create, func(f *File) ([]byte, error) { return f.Add(user, stored) })
	}
	if err := add("a", false); err == nil || !strings.Contains(err.Error(), "--create") {
		t.Error(err)
	}
	if err := add("a", true); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != newMode {
		t.Error(info.Mode(), err)
	}
	if err := add("b", true); err == nil || read(t, path) != "a:"+stored+"\n" {
		t.Error(err)
	}
	if err := Update(filepath.Dir(path), false, nil); err == nil || !strings.Contains(err.Error(), "no ordinary file") {
		t.Error(err)
	}
}

func owner(info os.FileInfo) [2]uint32 {
	stat := info.Sys().(*syscall.Stat_t)
	return [2]uint32{stat.Uid, stat.Gid}
}
