package hashing

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sys/unix"
)

// TestMain makes the test's program the worker as well.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == Verb {
		if err := Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func hashOf(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func newWorkers(t *testing.T) (*Workers, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	ws := New(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(ws.Close)
	return ws, &log
}

func expect(t *testing.T, ws *Workers, hash, password string, want bool) {
	t.Helper()
	if got, err := ws.Compare(context.Background(), hash, password); err != nil || got != want {
		t.Errorf("a password of %d bytes: %v, %v; want %v", len(password), got, err, want)
	}
}

func TestPasswordsAreComparedInAProcessOfLowPriority(t *testing.T) {
	ws, log := newWorkers(t)
	hash := hashOf(t, "right")
	for password, want := range map[string]bool{"right": true, "wrong": false, "": false, strings.Repeat("x", 70_000): false} {
		expect(t, ws, hash, password, want)
	}
	if len(ws.idle) != 1 {
		t.Fatalf("%d processes for one login after the other", len(ws.idle))
	}
	if got, err := unix.Getpriority(unix.PRIO_PROCESS, ws.idle[0].cmd.Process.Pid); err != nil || 20-got != rank {
		t.Errorf("its priority is %d, %v", 20-got, err)
	}
	if got, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err != nil || 20-got == rank {
		t.Errorf("the service's priority is %d, %v", 20-got, err)
	}
	if log.Len() > 0 {
		t.Error(log)
	}
}

func TestWhatIsNoHashIsAnErrorAndNotAWrongPassword(t *testing.T) {
	ws, _ := newWorkers(t)
	if _, err := ws.Compare(context.Background(), "plain", "plain"); err == nil {
		t.Error("it was compared")
	}
}

func TestManyPasswordsAreComparedAtATime(t *testing.T) {
	ws, _ := newWorkers(t)
	hashes := []string{hashOf(t, "a"), hashOf(t, "b")}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 20 {
				expect(t, ws, hashes[(i+n)%2], "a", (i+n)%2 == 0)
			}
		})
	}
	all.Wait()
}

func TestAWorkerThatDiesIsFollowedByAnother(t *testing.T) {
	ws, _ := newWorkers(t)
	hash := hashOf(t, "right")
	expect(t, ws, hash, "right", true)
	dead := ws.idle[0]
	if err := dead.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = dead.cmd.Process.Wait()
	expect(t, ws, hash, "right", true)
	expect(t, ws, hash, "wrong", false)
}

func TestClosedWorkersEnd(t *testing.T) {
	ws, _ := newWorkers(t)
	expect(t, ws, hashOf(t, "right"), "right", true)
	w := ws.idle[0]
	ws.Close()
	if w.cmd.ProcessState == nil || !w.cmd.ProcessState.Success() {
		t.Errorf("it ended with %v", w.cmd.ProcessState)
	}
}

func TestAQuestionThatBreaksOffIsAnError(t *testing.T) {
	for _, question := range []string{"\x00\x00\x00\x05hash", "\x00\x00\x00\x01h", "\xff\xff\xff\xff"} {
		if err := Serve(strings.NewReader(question), io.Discard); err == nil {
			t.Errorf("%q was taken", question)
		}
	}
	if err := Serve(strings.NewReader(""), io.Discard); err != nil {
		t.Error(err)
	}
}
