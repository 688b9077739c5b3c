package proxytest

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// BuildProxy returns the absolute path of a program. If it has none, it builds the proxy from
// the checkout in the current folder into dir.
func BuildProxy(program, dir string) (string, error) {
	if program != "" {
		return filepath.Abs(program)
	}
	program = filepath.Join(dir, "etcd-tlsproxy")
	out, err := exec.Command("go", "build", "-o", program, "etcd-tlsproxy/cmd/etcd-tlsproxy").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the proxy: %w; run this in a checkout, or name a program with --proxy\n%s", err, out)
	}
	return program, nil
}
