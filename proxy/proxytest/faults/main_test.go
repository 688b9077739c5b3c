package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// inNamespace is set for the process that runs in a network namespace of its own.
const inNamespace = "ETCD_TLSPROXY_TEST_FAULTS_NAMESPACE"

// TestMain runs the tests in a network namespace, whose networks go with the process however it ends.
func TestMain(m *testing.M) {
	if os.Getenv(inNamespace) == "" && os.Getenv(proxyVariable) == "" && os.Getenv(memberVariable) == "" {
		if status, err := enterNamespace(); err == nil {
			os.Exit(status)
		} else if err := os.Setenv(inNamespace, "none: "+err.Error()); err != nil {
			panic(err)
		}
	}
	proxytest.VerifyNoLeaks(m)
}

// enterNamespace runs this program again in a namespace, and returns its exit status. It fails if there
// can be none.
func enterNamespace() (status int, err error) {
	if _, err := exec.LookPath("ip"); err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	attributes := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNET}
	if uid := os.Geteuid(); uid != 0 {
		attributes.Cloneflags |= syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inNamespace+"=yes")
	cmd.SysProcAttr = attributes
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("making a network namespace: %w", err)
	}
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	return 0, err
}
