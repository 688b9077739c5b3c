package transport

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// Curl runs curl for each request, with a random version of HTTP.
type Curl struct {
	Addr   string
	CA     string // the path of the CA's certificate
	Random *rand.Rand
}

// Close implements Transport.
func (c *Curl) Close() {}

// curlBrokenOff holds the exit codes of a curl that got only part of an answer.
var curlBrokenOff = map[int]bool{18: true, 56: true, 92: true}

// Do implements Transport. The index of the answer is the largest possible one, because the
// output of curl contains none, so that no answer counts as stale.
func (c *Curl) Do(ctx context.Context, r *Request) (*Answer, error) {
	version := []string{"--http1.0", "--http1.1", "--http2"}[c.Random.IntN(3)]
	args := []string{"-sS", version, "--cacert", c.CA, "-X", r.Method, "-w", "\n%{http_code}"}
	if r.Method == "HEAD" {
		args = append(args, "--head", "-o", os.DevNull)
	}
	if r.User != "" {
		args = append(args, "-u", r.User+":"+r.Password())
	}
	if r.Form != "" {
		args = append(args, "-d", r.Form)
	}
	out, err := Command(ctx, nil, "curl", append(args, "https://"+c.Addr+r.Path())...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && curlBrokenOff[exit.ExitCode()] {
		return nil, fmt.Errorf("%w: %w", ErrBrokenOff, err)
	}
	if err != nil {
		return nil, err
	}
	cut := strings.LastIndexByte(out, '\n')
	status, err := strconv.Atoi(out[cut+1:])
	return &Answer{Status: status, Body: out[:max(cut, 0)], EtcdIndex: math.MaxUint64}, err
}

// Command runs a program and returns its output. The kernel kills it when this program
// ends.
func Command(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%s: %w: %s", name, err, exit.Stderr)
	}
	return string(out), err
}
