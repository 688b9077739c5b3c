package hashing

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"

	"etcd-tlsproxy/acl"
)

// Verb is the argument by which the program becomes a worker.
const Verb = "hash-worker"

// What a worker answers.
const (
	differs byte = iota
	matches
	unusable // the hash is none that a file could hold
)

// longest bounds what is sent: heads of requests, where passwords come from, are
// shorter.
const longest = 1 << 20

// worker is one process, seen from the service.
type worker struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.Reader
}

// start starts a worker. It comes up even if it could not be given its priority.
func start() (w *worker, unranked, err error) {
	// By this name the program is found after its file was replaced by an upgrade.
	cmd := exec.Command("/proc/self/exe", Verb)
	cmd.Args[0] = "etcd-tlsproxy"
	// What is allowed to be hashed goes along, all else is the service's.
	cmd.Env = []string{"GOMAXPROCS=1", "GODEBUG=" + os.Getenv("GODEBUG")}
	cmd.Stderr = os.Stderr
	w = &worker{cmd: cmd}
	if w.in, err = cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	if w.out, err = cmd.StdoutPipe(); err != nil {
		return nil, nil, err
	}
	started := make(chan struct{})
	go func() {
		defer close(started)
		// A process has the priority of the thread that starts it. This thread cannot get
		// its own back, and ends with this goroutine, which stays locked to it.
		runtime.LockOSThread()
		unranked = unix.Setpriority(unix.PRIO_PROCESS, 0, rank)
		err = cmd.Start()
	}()
	<-started
	if err != nil {
		return nil, unranked, fmt.Errorf("starting a process: %w", err)
	}
	return w, unranked, nil
}

// rank is the nice value: a tenth of what others get where a processor is wanted by
// both, so that logins go on, slowly, on a machine that is busy for long.
const rank = 10

// compare asks the process and waits for its answer.
func (w *worker) compare(hash, password string) (bool, error) {
	question := make([]byte, 0, 8+len(hash)+len(password))
	for _, part := range []string{hash, password} {
		question = binary.BigEndian.AppendUint32(question, uint32(len(part)))
		question = append(question, part...)
	}
	_, err := w.in.Write(question)
	clear(question)
	if err != nil {
		return false, err
	}
	var answer [1]byte
	if _, err := io.ReadFull(w.out, answer[:]); err != nil {
		return false, err
	}
	switch answer[0] {
	case differs, matches:
		return answer[0] == matches, nil
	}
	return false, errors.New("the hash cannot be used")
}

// stop ends the process.
func (w *worker) stop() {
	_ = w.in.Close() // that is the signal
	_ = w.cmd.Wait() // how it ends is of no interest
}

// Serve is the worker itself: it answers until in ends.
func Serve(in io.Reader, out io.Writer) error {
	for {
		hash, err := part(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		password, err := part(in)
		if err != nil {
			return err
		}
		answer := []byte{differs}
		switch ok, err := acl.Compare(context.Background(), string(hash), string(password)); {
		case err != nil:
			answer[0] = unusable
		case ok:
			answer[0] = matches
		}
		clear(password)
		if _, err := out.Write(answer); err != nil {
			return fmt.Errorf("answering: %w", err)
		}
	}
}

// part reads a hash or a password with its length; the error is io.EOF only where a
// question could begin.
func part(in io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > longest {
		return nil, fmt.Errorf("a part of %d bytes", n)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(in, text); err != nil {
		return nil, fmt.Errorf("reading a part: %w", io.ErrUnexpectedEOF)
	}
	return text, nil
}
