package recovery

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

// findTool finds what copies a data folder: etcdutl of etcd 3.5, or etcdctl of 3.4.
func findTool(path string) (string, error) {
	if path != "" {
		return exec.LookPath(path)
	}
	for _, name := range []string{"etcdutl", "etcdctl"} {
		if found, err := exec.LookPath(name); err == nil {
			return found, nil
		}
	}
	return "", errors.New("neither etcdutl nor etcdctl is in PATH (hint: Debian has etcdctl in the package etcd-client; or name it with --etcdctl)")
}

func findEtcd(path string) (string, error) {
	if path != "" {
		return exec.LookPath(path)
	}
	found, err := exec.LookPath("etcd")
	if err != nil {
		return "", errors.New("etcd is not in PATH, and one is started on a copy (hint: Debian has it in the package etcd-server; or name it with --etcd)")
	}
	return found, nil
}

// copyData lets the tool copy a data folder into a backup. Nobody else knows which
// records make a copy that can be started.
func runBackupTool(ctx context.Context, tool, dataDir, walDir, into string, withV3 bool) error {
	args := []string{"backup", "--data-dir", dataDir, "--backup-dir", into}
	if walDir != "" {
		args = append(args, "--wal-dir", walDir)
	}
	if withV3 {
		args = append(args, "--with-v3")
	}
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Env = append(withoutEtcd(os.Environ()), "ETCDCTL_API=2")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("copying %s with %s: %w: %s", dataDir, filepath.Base(tool), err, lastLines(output.String()))
	}
	return nil
}

// withoutEtcd takes etcd's own variables away. Units have them in their environment
// files, and with the member's ETCD_WAL_DIR or ETCD_DATA_DIR an etcd that was meant
// for a copy would work on the member's own data.
func withoutEtcd(environment []string) []string {
	return slices.DeleteFunc(slices.Clone(environment), func(variable string) bool {
		return (strings.HasPrefix(variable, "ETCD_") || strings.HasPrefix(variable, "ETCDCTL_")) &&
			!strings.HasPrefix(variable, "ETCD_UNSUPPORTED_ARCH=")
	})
}

// lastLines is the end of what a program output, where it tells why it ended.
func lastLines(output string) string {
	const few = 3
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return strings.Join(lines[max(0, len(lines)-few):], "; ")
}
