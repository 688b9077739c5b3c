package recovery

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestACopyOfWhatCannotBeReadFails(t *testing.T) {
	folder := t.TempDir()
	b := &Backup{DataDir: filepath.Join(folder, "data"), Tool: "no-such-tool"}
	err := b.copyLive(t.Context(), filepath.Join(folder, "scratch"), filepath.Join(folder, "compacted"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join("member", "snap")) {
		t.Errorf("copyLive without a folder of snapshots: got the error %v, want one that names the folder", err)
	}
	writeFile(t, filepath.Join(b.DataDir, "member", "snap", "1.snap"), "1")
	err = b.copyLive(t.Context(), filepath.Join(folder, "scratch"), filepath.Join(folder, "compacted"))
	if err == nil || !strings.Contains(err.Error(), "no-such-tool") {
		t.Errorf("copyLive with a tool that does not exist: got the error %v, want one that names the tool", err)
	}
}

func TestFilesAreCopiedWithoutReplacingAny(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "a", "b")
	writeFile(t, filepath.Join(from, "1.wal"), "one")
	writeFile(t, filepath.Join(from, "2.wal"), "two")
	writeFile(t, filepath.Join(from, "2.tmp"), "other")
	writeFile(t, filepath.Join(from, "folder.wal", "x"), "x")
	if err := os.Symlink(filepath.Join(from, "1.wal"), filepath.Join(from, "3.wal")); err != nil {
		t.Fatal(err)
	}
	if err := copyFiles(from, to, ".wal"); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, to), names(t, from); got == want || strings.Contains(got, "tmp") || strings.Contains(got, "folder") || strings.Contains(got, "3.wal") {
		t.Errorf("copied files: got %s of %s, want 1.wal and 2.wal", got, want)
	}
	for name, want := range map[string]string{"1.wal": "one", "2.wal": "two"} {
		if got, err := os.ReadFile(filepath.Join(to, name)); string(got) != want || err != nil {
			t.Errorf("copy of %s: got %q, %v; want %q", name, got, err, want)
		}
	}
	if err := copyFiles(from, to, ".wal"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("copyFiles over earlier copies: got the error %v, want %v", err, fs.ErrExist)
	}
	if err := copyFiles(filepath.Join(from, "missing"), to, ".wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("copyFiles of a folder that does not exist: got the error %v, want %v", err, fs.ErrNotExist)
	}
	if err := copyFiles(from, filepath.Join(from, "1.wal"), ".wal"); err == nil {
		t.Error("copyFiles into a file: got no error")
	}
}

func TestAFolderIsFoundWithinAnotherThroughLinks(t *testing.T) {
	root := t.TempDir()
	data := filepath.Join(root, "data")
	writeFile(t, filepath.Join(data, "member", "x"), "x")
	writeFile(t, filepath.Join(root, "database", "x"), "x")
	for link, target := range map[string]string{"to-data": data, "to-member": filepath.Join(data, "member"), "to-root": root} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]bool{
		"data": true, "data/member": true, "data/new": true, "data/member/new": true, "to-data": true, "to-data/new": true, "to-member": true, "to-member/new": true, "to-root/data": true,
		"database": false, "database/new": false, "new": false, ".": false, "data/../new": false, "to-root": false,
	} {
		for _, folder := range []string{data, filepath.Join(root, "to-data")} {
			if got, err := isWithin(filepath.Join(root, filepath.FromSlash(path)), folder); got != want || err != nil {
				t.Errorf("isWithin(%s, %s): got %t, %v; want %t", path, folder, got, err, want)
			}
		}
	}
	if _, err := isWithin(root, filepath.Join(root, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("isWithin a folder that does not exist: got the error %v, want %v", err, fs.ErrNotExist)
	}
}
