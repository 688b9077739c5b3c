package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"etcd-tlsproxy/cmd/internal/tool"
)

// namespaceVariable is set for the process that runs in a network namespace of its own.
const namespaceVariable = "ETCD_TLSPROXY_SIEGE_NAMESPACE"

// enterNamespace runs this program again, with the same arguments, in a network namespace of
// its own, whose loopback has addresses of IPv6 networks. It returns why it cannot. If the program
// ran and failed, the error is [tool.ErrReported].
func enterNamespace(ctx context.Context, self string, args []string) (ran bool, err error) {
	if _, err := exec.LookPath("ip"); err != nil {
		return false, err
	}
	attributes := &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Cloneflags: syscall.CLONE_NEWNET}
	if uid := os.Geteuid(); uid != 0 {
		attributes.Cloneflags |= syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), namespaceVariable+"=1")
	cmd.SysProcAttr = attributes
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("making a network namespace: %w", err)
	}
	if cmd.Wait() != nil {
		return true, tool.ErrReported
	}
	return true, nil
}

// inNamespace reports whether this process runs in a namespace of its own.
func inNamespace() bool { return os.Getenv(namespaceVariable) != "" }

// prepareNamespace sets up the loopback of this process's namespace. If it fails for IPv6
// alone, ipv6 says why.
func prepareNamespace() (ipv6, err error) {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("setting up loopback: %w: %s", err, out)
	}
	// Every address of the network is then one of this machine.
	if out, err := exec.Command("ip", "-6", "route", "add", "local", "fd51:e9e:1::/48", "dev", "lo").CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("adding a network: %w", err), errors.New(string(out))), nil
	}
	return nil, nil
}
