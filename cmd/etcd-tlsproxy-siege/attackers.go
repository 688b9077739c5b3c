package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/attack"
)

// attackers is a process of attackers.
type attackers struct {
	cmd   *exec.Cmd
	in    io.Closer
	log   string
	began time.Time
	ready chan struct{} // is closed when they are in full effect, or have ended
	ended chan struct{} // is closed when result and err are set
	attack.Result
	err error
}

// startAttackers starts the attackers. The caller must call stop.
func startAttackers(self, log string, spec *attack.Spec) (*attackers, error) {
	cmd := exec.Command(self, "attack")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	// Thousands of connections are a lot of garbage; attackers have memory instead of time.
	cmd.Env = append(os.Environ(), "GOGC=400")
	stderr, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer stderr.Close() // the process has its own descriptor
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the attackers: %w", err)
	}
	a := &attackers{cmd: cmd, in: in, log: log, began: time.Now(), ready: make(chan struct{}), ended: make(chan struct{})}
	go a.read(out)
	line, err := json.Marshal(spec)
	if err == nil {
		_, err = in.Write(append(line, '\n'))
	}
	if err != nil {
		a.kill()
		_, _, err = a.stop()
		return nil, err
	}
	return a, nil
}

// read reads what the attackers report: that they are in full effect, and then their result.
func (a *attackers) read(out io.Reader) {
	defer close(a.ended)
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	close(a.ready)
	if err == nil && line != "ready\n" {
		err = fmt.Errorf("the attackers reported %q, want ready", line)
	}
	if err == nil {
		err = json.NewDecoder(lines).Decode(&a.Result)
	}
	a.err = err
}

// stopAttackTimeout is how long attackers can take to end: each bounds its exchanges, but
// not by the end of the attack.
const stopAttackTimeout = 20 * time.Second

// stop ends the attack and returns its result, with the part of all processors that it used.
func (a *attackers) stop() (result attack.Result, share float64, err error) {
	_ = a.in.Close()
	timer := time.AfterFunc(stopAttackTimeout, a.kill)
	defer timer.Stop()
	<-a.ended
	err = errors.Join(a.err, a.cmd.Wait())
	used := a.cmd.ProcessState.UserTime() + a.cmd.ProcessState.SystemTime()
	share = float64(used) / float64(time.Since(a.began)) / float64(runtime.NumCPU())
	if err != nil {
		text, _ := os.ReadFile(a.log)
		err = fmt.Errorf("the attackers have ended: %w\n%s", err, text)
	}
	return a.Result, share, err
}

func (a *attackers) kill() { _ = syscall.Kill(-a.cmd.Process.Pid, syscall.SIGKILL) }
