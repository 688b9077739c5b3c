package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/attack"
)

// attackers is the process of the attackers.
type attackers struct {
	cmd   *exec.Cmd
	in    io.Closer
	lines *bufio.Reader
	began time.Time
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
	a := &attackers{cmd: cmd, in: in, lines: bufio.NewReader(out), began: time.Now()}
	line, err := json.Marshal(spec)
	if err == nil {
		_, err = in.Write(append(line, '\n'))
	}
	if err != nil {
		a.kill()
		return nil, fmt.Errorf("starting the attackers: %w", err)
	}
	return a, nil
}

// arrivalTimeout is how long attackers can take until they are in full effect. A server that
// makes them wait may keep them from it.
const arrivalTimeout = 20 * time.Second

// arrive waits until the attackers are in full effect, and reports whether they are.
func (a *attackers) arrive(ctx context.Context) bool {
	arrived := make(chan bool, 1)
	go func() {
		line, err := a.lines.ReadString('\n')
		arrived <- err == nil && line == "ready\n"
	}()
	timer := time.NewTimer(arrivalTimeout)
	defer timer.Stop()
	select {
	case ok := <-arrived:
		return ok
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// stop ends the attack and returns its result, with the part of all processors that it used.
func (a *attackers) stop(arrived bool) (result attack.Result, share float64, err error) {
	_ = a.in.Close()
	timer := time.AfterFunc(arrivalTimeout, a.kill)
	defer timer.Stop()
	if arrived {
		err = json.NewDecoder(a.lines).Decode(&result)
	}
	err = errors.Join(err, a.cmd.Wait())
	lasted := time.Since(a.began)
	used := a.cmd.ProcessState.UserTime() + a.cmd.ProcessState.SystemTime()
	share = float64(used) / float64(lasted) / float64(processors())
	if err != nil {
		text, _ := os.ReadFile(a.cmd.Stderr.(*os.File).Name())
		err = fmt.Errorf("running the attackers: %w\n%s", err, text)
	}
	return result, share, err
}

func (a *attackers) kill() { _ = syscall.Kill(-a.cmd.Process.Pid, syscall.SIGKILL) }
