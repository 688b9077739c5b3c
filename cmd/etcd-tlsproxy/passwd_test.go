package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAFullDiskAndAnUnwritableFolderLeaveTheOldFile mounts a full disk and a read-only
// folder, which stop even root.
func TestAFullDiskAndAnUnwritableFolderLeaveTheOldFile(t *testing.T) {
	if err := exec.Command("unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt").Run(); err != nil {
		t.Skip("no file system can be mounted here:", err)
	}
	f := newFolder(t, "")
	script := filepath.Join(f.dir, "script")
	if err := os.WriteFile(script, []byte(`set -u
try() {
	cp disk/htpasswd before
	echo secret | ./etcd-tlsproxy passwd add --stdin --cost 4 disk/htpasswd "$1" 2>said
	echo "$1: exit $?: $(cat said)"
	cmp before disk/htpasswd && echo "$1: same"
	echo "$1: files: $(ls -A disk | tr '\n' ' ')"
}
mkdir disk
mount -t tmpfs -o size=16k none disk
cp htpasswd disk/htpasswd
try room
cat /dev/zero >disk/zero 2>/dev/null
try full
rm disk/zero
mount -o remount,ro disk
try readonly
`), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-rm", "sh", script)
	cmd.Dir = f.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the script failed: %v\n%s", err, out)
	}
	for _, want := range []string{
		"room: exit 0: ", "room: files: htpasswd \n",
		"full: exit 1: ", "which is unchanged: ", "no space left on device", "full: same", "full: files: htpasswd zero \n",
		"readonly: exit 1: ", "read-only file system", "readonly: same", "readonly: files: htpasswd \n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output does not contain %q:\n%s", want, out)
		}
	}
	if strings.Contains(string(out), "room: same") {
		t.Error("passwd add did not add the user although there was space")
	}
}
