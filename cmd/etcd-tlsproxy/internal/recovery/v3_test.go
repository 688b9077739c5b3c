package recovery

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// v3 sends a request to the v3 API of an etcd, and returns the response.
func v3(t *testing.T, member, path, body string) string {
	t.Helper()
	resp, err := http.Post(member+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: got status %d and %s (%v), want 200", path, resp.StatusCode, text, err)
	}
	return string(text)
}

// TestKeysOfTheV3StoreAreKeptOrNamed backs up and recovers a member with a key in each
// store.
func TestKeysOfTheV3StoreAreKeptOrNamed(t *testing.T) {
	t.Parallel()
	c, folders := startCluster(t, 1)
	dir := filepath.Dir(filepath.Dir(folders[0]))
	t.Cleanup(func() { killAll(t, dir) })
	members := spec(t, c.Members)
	url := c.Members[0].URL()
	put(t, url, "/a", "1")
	encoded := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	without := run(t, newBackup(t, url, folders[0]))
	if without.Manifest.V3LeftOut != "" || without.Manifest.WithV3 {
		t.Errorf("a backup of a member without v3 keys: got %+v, want that nothing is left out", without.Manifest)
	}
	v3(t, url, "/v3/kv/put", fmt.Sprintf(`{"key":%q,"value":%q}`, encoded("third"), encoded("value")))

	b := newBackup(t, url, folders[0])
	var notes []string
	b.Note = func(text string) { notes = append(notes, text) }
	live := run(t, b)
	var text strings.Builder
	if err := live.Text(&text); err != nil {
		t.Fatal(err)
	}
	const missing = "the 1 key of the v3 store"
	if all := strings.Join(notes, "\n"); !strings.Contains(all, "WARNING: the backup will not contain "+missing) || !strings.Contains(text.String(), "NOT in the backup: "+missing) {
		t.Errorf("a backup of the running member: got the notes %s and the result %s, want that they name the v3 keys", all, &text)
	}
	c.Close()
	http.DefaultClient.CloseIdleConnections()
	r := newRecovery(t, dir, live.Path, members)
	p, err := r.Plan(t.Context())
	if err != nil || !strings.Contains(strings.Join(p.Facts, "\n"), "WARNING: the backup does not contain "+missing) {
		t.Errorf("the plan of a recovery: got %+v and the error %v, want a fact that names the v3 keys", p, err)
	}

	stopped := newBackup(t, url, folders[0])
	stopped.Offline = true
	offline := run(t, stopped)
	if !offline.Manifest.WithV3 || offline.Manifest.V3LeftOut != "" {
		t.Errorf("a backup of the stopped member: got %+v, want the v3 store", offline.Manifest)
	}
	for _, source := range []string{offline.Path, folders[0]} {
		r := newRecovery(t, dir, source, members)
		if _, err := r.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		http.DefaultClient.CloseIdleConnections()
		if got := v3(t, members[0].Client, "/v3/kv/range", fmt.Sprintf(`{"key":%q}`, encoded("third"))); !strings.Contains(got, encoded("value")) {
			t.Errorf("the v3 key after a recovery from %s: got %s, want its value", source, got)
		}
		if status, n := read(t, members[0].Client, "/a"); status != http.StatusOK || n.Value != "1" {
			t.Errorf("/a after a recovery from %s: got status %d and %q, want 1", source, status, n.Value)
		}
		killAll(t, dir)
	}
}
