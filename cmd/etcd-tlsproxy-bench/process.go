package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server that is measured, together with its children.
type process struct {
	cmd *exec.Cmd
}

// start runs a program. The kernel kills it when this program ends.
func start(log io.Writer, name string, args ...string) (*process, error) {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return &process{cmd}, nil
}

// startWithAddress runs a program that writes its address as its first line.
func startWithAddress(name string, args ...string) (*process, string, error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("starting %s: %w", name, err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	return &process{cmd}, strings.TrimSpace(line), err
}

// stop ends the process by SIGTERM, because a master has to end its workers, and by
// SIGKILL if that takes too long.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(3*time.Second, func() { _ = p.cmd.Process.Kill() })
	_ = p.cmd.Wait()
	timer.Stop()
}

// pids returns the process and its children.
func (p *process) pids() []int {
	root := p.cmd.Process.Pid
	pids := []int{root}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return pids
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if fields := stat(pid); len(fields) > 1 && fields[1] == strconv.Itoa(root) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// stat returns the fields of /proc/PID/stat that follow the name.
func stat(pid int) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return strings.Fields(rest)
}

// clockTick is the kernel's unit of CPU time, which is the same on all Linux platforms.
const clockTick = 10 * time.Millisecond

// cpu returns the CPU time of the process and its children, user and system.
func (p *process) cpu() (total time.Duration) {
	for _, pid := range p.pids() {
		total += cpuOf(pid)
	}
	return total
}

// cpuOf returns the CPU time of one process.
func cpuOf(pid int) (total time.Duration) {
	fields := stat(pid)
	if len(fields) < 13 {
		return 0
	}
	for _, field := range fields[11:13] { // utime, stime
		ticks, _ := strconv.ParseInt(field, 10, 64)
		total += time.Duration(ticks) * clockTick
	}
	return total
}

// rss returns the memory of the process and its children, in bytes.
func (p *process) rss() (total int64) {
	for _, pid := range p.pids() {
		total += rssOf(pid)
	}
	return total
}

// rssOf returns the anonymous memory of one process: program text and libraries, which
// processes share, are left out.
func rssOf(pid int) (total int64) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			total += kib << 10
		}
	}
	return total
}

// maxStartTime is how long a proxy may take to listen.
const maxStartTime = 10 * time.Second

// waitForPort waits until a process listens at an address.
func waitForPort(address string) error {
	for limit := time.Now().Add(maxStartTime); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(limit) {
			return fmt.Errorf("nothing listens at %s after %v: %w", address, maxStartTime, err)
		}
	}
}
