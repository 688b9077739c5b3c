package recovery

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/etcdtool"
)

// toolThat returns a tool that works, and then runs a command when it makes the backup itself, whose folder is
// $to. It has made a copy before.
func toolThat(t *testing.T, then string) string {
	t.Helper()
	tool, err := etcdtool.FindTool("")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), filepath.Base(tool))
	script := fmt.Sprintf("#!/bin/sh\nto=$5 # backup --data-dir FOLDER --backup-dir TO\ncase $to in */scratch/*) exec %[1]s \"$@\";; esac\n%[1]s \"$@\" && %[2]s\n", tool, then)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestABackupThatCannotBeFinishedLeavesNothing lets the last steps of a backup fail.
func TestABackupThatCannotBeFinishedLeavesNothing(t *testing.T) {
	t.Parallel()
	c, folders := startCluster(t, 1)
	put(t, c.Members[0].URL(), "/a", "1")
	for want, then := range map[string]string{
		"reading the copy: ":    `rm -rf "$to/member/wal"`,
		"is not a regular file": `ln -s /etc/passwd "$to/member/link"`,
		"manifest.json":         `mkdir "$to/manifest.json"`,
		"SHA256SUMS":            `mkdir "$to/SHA256SUMS"`,
	} {
		b := newBackup(t, c.Members[0].URL(), folders[0])
		b.Tool = toolThat(t, then)
		r, err := b.Run(t.Context())
		if err == nil || r != nil || !strings.HasPrefix(err.Error(), "taking a backup: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v and the error %v, want %q", then, r, err, want)
		}
		if got := names(t, b.Folder); got != "" {
			t.Errorf("%s: the folder has %s, want nothing", then, got)
		}
		if info, err := os.Stat(b.Folder); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the folder of the backups: got %v, %v, want one for its owner alone", info.Mode(), err)
		}
	}
	b := newBackup(t, c.Members[0].URL(), folders[0])
	b.Folder = filepath.Join(b.Folder, "below", "another")
	if _, err := b.Run(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "creating the folder of the backups: ") || !strings.Contains(err.Error(), "--dir must be in a folder that exists") {
		t.Errorf("a folder whose parent does not exist: got the error %v, want one with a hint", err)
	}
}
