package proxytest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Child is a program that runs as a process.
type Child struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // of its end; is set before exited is closed
}

// StartChild runs a program, and appends its output to a log. The kernel kills the process when
// this program ends. Ctrl-C must not reach it: this program stops it when nothing needs it any
// more.
func StartChild(log, program string, args ...string) (*Child, error) {
	file, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the process has its own descriptor
	c := &Child{cmd: exec.Command(program, args...), exited: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = file, file
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(program), err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.exited)
	}()
	return c, nil
}

// Pid returns the number of the process, which is also that of its group.
func (c *Child) Pid() int { return c.cmd.Process.Pid }

// Exited returns a channel that is closed when the process has ended.
func (c *Child) Exited() <-chan struct{} { return c.exited }

// HasExited reports whether the process has ended.
func (c *Child) HasExited() bool {
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}

// ExitError returns how the process has ended. It must have exited.
func (c *Child) ExitError() error { return c.err }

// Signal sends a signal to the process. After SIGSTOP it is a server that does not answer.
func (c *Child) Signal(s syscall.Signal) { _ = c.cmd.Process.Signal(s) }
