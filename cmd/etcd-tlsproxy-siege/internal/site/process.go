package site

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// Process is a server, together with its children.
type Process struct {
	*proxytest.Child
	name string
	log  string // the path of its output
}

// start runs a program. Its output goes to a file in dir.
func start(dir, name string, command ...string) (*Process, error) {
	log := filepath.Join(dir, name+".log")
	child, err := proxytest.StartChild(log, command[0], command[1:]...)
	if err != nil {
		return nil, err
	}
	return &Process{child, name, log}, nil
}

// stopTimeout is how long a server can take to end. What it has left to do is of no use to
// a siege.
const stopTimeout = 2 * time.Second

// Stop ends the process: by SIGTERM, because a master has to end its workers, and by
// SIGKILL if that takes too long.
func (p *Process) Stop() {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.Exited():
	case <-time.After(stopTimeout):
		p.Kill()
	}
}

// Kill kills the process and its children, and waits for its end.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.Pid(), syscall.SIGKILL)
	<-p.Exited()
}

// Ended returns how the process has ended, or nil if it runs.
func (p *Process) Ended() error {
	if !p.HasExited() {
		return nil
	}
	if err := p.ExitError(); err != nil {
		return err
	}
	return errors.New("it has ended")
}

// Memory returns the resident memory of the process and its children, in bytes: that of now and
// the greatest that the kernel has seen.
func (p *Process) Memory() (now, peak int64) {
	for _, pid := range p.pids() {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		for line := range strings.SplitSeq(string(data), "\n") {
			name, value, _ := strings.Cut(line, ":")
			if name != "VmRSS" && name != "VmHWM" {
				continue
			}
			kib, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			if name == "VmRSS" {
				now += kib << 10
			} else {
				peak += kib << 10
			}
		}
	}
	return now, peak
}

// pids returns the process and its children.
func (p *Process) pids() []int {
	root := p.Pid()
	pids := []int{root}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", root, root))
	if err != nil {
		return pids
	}
	for _, field := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// startTimeout is how long a server may take to serve.
const startTimeout = 20 * time.Second

// waitFor waits until ready returns nil.
func (p *Process) waitFor(ready func() error) error {
	for limit := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
		err := ready()
		if err == nil {
			return nil
		}
		if ended := p.Ended(); ended != nil {
			err = ended
		} else if time.Now().Before(limit) {
			continue
		}
		p.Stop()
		text, _ := os.ReadFile(p.log)
		return fmt.Errorf("starting %s: %w\n%s", p.name, err, tail(text))
	}
}

// tail returns the last lines of a log.
func tail(text []byte) []byte {
	const most = 2000
	return text[max(0, len(text)-most):]
}

// listens reports whether something listens at an address.
func listens(address string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}
