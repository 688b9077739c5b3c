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

// testCost is the lowest cost of bcrypt, to keep the tests fast.
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

// stored is an apr1 hash of "a" with the salt "saltsalt".
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
			t.Errorf("%s: two hashes have the same salt", scheme)
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
		t.Errorf("users: got %v, want one for each scheme", got)
	}
	nginxAccepts := func(string, string) bool { return true }
	if proxytest.FindNginx() {
		nginx, err := proxytest.StartNginx(t.TempDir(), func(addr string) string {
			return fmt.Sprintf("server { listen %s; location / { auth_basic x; auth_basic_user_file %s; return 404; } location /in/ { auth_basic x; auth_basic_user_file %[2]s; alias %s/; } }", addr, path, filepath.Dir(path))
		})
		if err != nil {
			t.Fatal(err)
		}
		defer nginx.Close()
		nginxAccepts = func(user, password string) bool {
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
		if nginxAccepts("bcrypt", "wrong") {
			t.Error("nginx accepts a wrong password")
		}
	}
	for user, password := range passwords {
		if right, err := file.Verify(context.Background(), user, password); !right || err != nil {
			t.Errorf("verifying the password of %s: got %v (%v), want true", user, right, err)
		}
		if wrong, err := file.Verify(context.Background(), user, password+"x"); wrong || err != nil {
			t.Errorf("verifying a wrong password of %s: got %v (%v), want false", user, wrong, err)
		}
		if !nginxAccepts(user, password) {
			t.Errorf("nginx refuses the password of %s", user)
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
				t.Fatalf("%s: got %q, want %q", what, got, want)
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

func TestAChangedPasswordKeepsTheCommentOfItsLine(t *testing.T) {
	changed := strings.Replace(stored, "saltsalt", "newnewne", 1)
	for _, comment := range []string{":\n", ":the operator\r\n", ":a:b", "\r\n", ""} {
		file, err := Parse("f", []byte("root:"+stored+comment))
		if err != nil {
			t.Fatalf("comment %q: %v", comment, err)
		}
		got, err := file.Change("root", changed)
		if want := "root:" + changed + comment; err != nil || string(got) != want {
			t.Errorf("comment %q: got %q (%v), want %q", comment, got, err, want)
		}
	}
}

// without removes a line from a text.
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
			t.Errorf("got %v, want %q", err, says)
		}
	}
	for user, says := range map[string]string{
		"": "empty", "a:b": "colon", "a\nb": "control", "a\x00": "control", "#a": "comment", " a": "blank", "\xff": "UTF-8", strings.Repeat("a", 257): "256", "root": "already",
	} {
		refused(says, func(f *File) ([]byte, error) { return f.Add(user, stored) })
	}
	refused("no user", func(f *File) ([]byte, error) { return f.Change("other", stored) })
	refused("no user", func(f *File) ([]byte, error) { return f.Remove("other") })
	refused("would refuse the edited file", func(f *File) ([]byte, error) { return f.Add("other", "plain") })
	if got := read(t, path); got != good {
		t.Errorf("after refused edits: got %q, want %q", got, good)
	}
	for _, c := range []struct{ scheme, password, says string }{
		{"bcrypt", "", "empty"}, {"bcrypt", strings.Repeat("x", 73), "72 bytes"}, {"apr1", strings.Repeat("x", 256), "255 bytes"}, {"bcrypt", "a\x00b", "control"}, {"plain", "x", "not a known hash"},
	} {
		_, err := Hash(c.scheme, DefaultCost, c.password)
		if err == nil || !strings.Contains(err.Error(), c.says) || c.password != "" && strings.Contains(err.Error(), c.password) {
			t.Errorf("hashing %d bytes with %s: got %v, want %q and no password", len(c.password), c.scheme, err, c.says)
		}
	}
	if _, err := Hash("bcrypt", bcrypt.MinCost, strings.Repeat("x", 72)); err != nil {
		t.Errorf("hashing 72 bytes with bcrypt: %v", err)
	}
	for _, c := range []struct {
		scheme string
		cost   int
	}{{"bcrypt", 15}, {"bcrypt", 3}, {"apr1", 12}} {
		if CheckHash(c.scheme, c.cost) == nil {
			t.Errorf("%s with cost %d: got no error", c.scheme, c.cost)
		}
	}
}

func TestABrokenFileIsToldLineByLineAndNotTouched(t *testing.T) {
	broken := "root:" + stored + "\nno colon\nx:plain\n"
	path := write(t, broken)
	err := Update(path, false, func(f *File) ([]byte, error) { return f.Add("a", stored) })
	for _, says := range []string{"htpasswd:2: ", `htpasswd:3: user "x"`} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("editing a broken file: got %v, want %q", err, says)
		}
	}
	if read(t, path) != broken {
		t.Error("the broken file has changed")
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
		t.Errorf("got mode %v, owner %v, same file %v; want %v, %v, false", after.Mode(), owner(after), os.SameFile(before, after), before.Mode(), owner(before))
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the symbolic link was replaced")
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
		t.Errorf("after 40 concurrent edits: got %d users, want 40", n)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("folder: got %v (%v), want the file alone", left, err)
	}
}

func TestANewFileIsMadeOnlyWhereThereIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "htpasswd")
	add := func(user string, create bool) error {
		return Update(path, create, func(f *File) ([]byte, error) { return f.Add(user, stored) })
	}
	if err := add("a", false); err == nil || !strings.Contains(err.Error(), "--create") {
		t.Errorf("adding to a missing file: got %v, want a hint at --create", err)
	}
	if err := add("a", true); err != nil {
		t.Errorf("creating a file: %v", err)
	}
	if info, err := os.Stat(path); err != nil {
		t.Error(err)
	} else if info.Mode() != newMode {
		t.Errorf("mode of the new file: got %v, want %v", info.Mode(), os.FileMode(newMode))
	}
	if err := add("b", true); err == nil || read(t, path) != "a:"+stored+"\n" {
		t.Errorf("creating an existing file: got %v, want an error and no change", err)
	}
	if err := Update(filepath.Dir(path), false, nil); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("editing a folder: got %v, want that it is not a regular file", err)
	}
}

func owner(info os.FileInfo) [2]uint32 {
	stat := info.Sys().(*syscall.Stat_t)
	return [2]uint32{stat.Uid, stat.Gid}
}
