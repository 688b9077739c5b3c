package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/recovery"
)

func TestABackupIsCalledGoodOnlyIfItsKeysWereCompared(t *testing.T) {
	m := &recovery.Manifest{Time: time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC), Keys: &recovery.Keys{Count: 2}, Files: make([]recovery.File, 3)}
	found := &recovery.Keys{Count: 1}
	const files = "all 3 files of 2026-11-24T02:00:00Z are unchanged"
	for want, v := range map[string]*recovery.Verified{
		"b is good: " + files + ", and an etcd that was started on a copy has the same 1 key\n": {Manifest: m, Found: found, Compared: true},
		"b cannot be judged: " + files + ", and an etcd that was started on a copy has 1 key\n  unknown: whether\n": {
			Manifest: m, Found: found, Unknown: []string{"whether"}},
		"b: " + files + "\n  unknown: which\n": {Manifest: m, Unknown: []string{"which"}},
		"b is good: " + files + ", and an etcd that was started on a copy has the same 1 key\n  it does not contain the 7 keys of the v3 store\n": {
			Manifest: &recovery.Manifest{Time: m.Time, Files: m.Files, V3LeftOut: "the 7 keys of the v3 store"}, Found: found, Compared: true},
	} {
		var got strings.Builder
		if err := writeVerified(&got, "b", v); err != nil || got.String() != want {
			t.Errorf("describing a verified backup: got\n%swant\n%s", &got, want)
		}
	}
	if got, want := describeKeys(m.Keys, m.Time), "2 keys, not verified when it was taken"; got != want {
		t.Errorf("the same backup in the list: got %q, want %q", got, want)
	}
	m.Keys.Verified = true
	if got, want := describeKeys(m.Keys, m.Time), "2 keys, verified at 2026-11-24T02:00:00Z, when it was taken"; got != want {
		t.Errorf("keys that were verified once: got %q, want %q", got, want)
	}
}

// forgetKeys takes the number of keys out of the manifest of a backup.
func forgetKeys(t *testing.T, backup string) {
	t.Helper()
	path, sums := filepath.Join(backup, "manifest.json"), filepath.Join(backup, "SHA256SUMS")
	var manifest map[string]any
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if err := json.Unmarshal(read(path), &manifest); err != nil {
		t.Fatal(err)
	}
	delete(manifest, "keys")
	text, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(read(sums), []byte("\n"))
	for path, data := range map[string][]byte{path: text, sums: append(fmt.Appendf(nil, "%x  manifest.json\n", sha256.Sum256(text)), rest...)} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
