// Package etcdtool runs etcd's own programs: its tools for data, and an etcd on a copy of data that
// nobody else can reach.
package etcdtool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// FindTool finds the tool that copies data folders and restores snapshots: etcdutl since etcd 3.5, or
// etcdctl of 3.4.
func FindTool(path string) (string, error) {
	if path != "" {
		return lookPath(path, "etcdctl", "etcdctl or etcdutl")
	}
	for _, name := range []string{"etcdutl", "etcdctl"} {
		if found, err := exec.LookPath(name); err == nil {
			return found, nil
		}
	}
	return "", errors.New("neither etcdutl nor etcdctl is in PATH (hint: install Debian's package etcd-client, or give the path with --etcdctl)")
}

// lookPath finds the program of a flag.
func lookPath(path, flag, what string) (string, error) {
	found, err := exec.LookPath(path)
	if err != nil {
		return "", fmt.Errorf("--%s %s cannot be run: %w (hint: give the path of %s, or leave the flag out to use the one in PATH)", flag, path, errors.Unwrap(err), what)
	}
	return found, nil
}

// FindEtcd finds etcd. The path may be empty, and is that of a flag otherwise.
func FindEtcd(path string) (string, error) {
	if path != "" {
		return lookPath(path, "etcd", "etcd")
	}
	found, err := exec.LookPath("etcd")
	if err != nil {
		return "", errors.New("etcd is not in PATH, but a backup starts one on a copy (hint: install Debian's package etcd-server, or give the path with --etcd)")
	}
	return found, nil
}

// Backup copies a data folder with etcd's own tool, which knows the records that a
// copy needs to start.
func Backup(ctx context.Context, tool, dataDir, walDir, into string, withV3 bool) error {
	args := []string{"backup", "--data-dir", dataDir, "--backup-dir", into}
	if walDir != "" {
		args = append(args, "--wal-dir", walDir)
	}
	if withV3 {
		args = append(args, "--with-v3")
	}
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Env = append(Environment(), "ETCDCTL_API=2")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("copying %s with %s: %w: %s", dataDir, filepath.Base(tool), err, LastLines(output.String()))
	}
	return nil
}

// Environment returns the environment of this process without etcd's own variables. Units set
// them in environment files, and with the member's ETCD_WAL_DIR or ETCD_DATA_DIR an etcd that was
// started on a copy would write to the member's own data.
func Environment() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return (strings.HasPrefix(variable, "ETCD_") || strings.HasPrefix(variable, "ETCDCTL_")) &&
			!strings.HasPrefix(variable, "ETCD_UNSUPPORTED_ARCH=")
	})
}

// LastLines returns the end of a program's output, which says why it failed.
func LastLines(output string) string {
	const few = 3
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return strings.Join(lines[max(0, len(lines)-few):], "; ")
}
