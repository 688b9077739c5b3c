package main

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/internal/tool"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs the demo until it has printed its guide, and returns the guide. Stop ends
// the demo and returns its exit status.
func start(t *testing.T, args ...string) (guide string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- tool.Run(ctx, newDemo(), args, in, in)
		in.Close()
	}()
	t.Cleanup(cancel)
	text := ""
	buf := make([]byte, 4096)
	for !strings.Contains(text, "Ctrl-C") {
		n, err := out.Read(buf)
		text += string(buf[:n])
		if err != nil {
			t.Fatalf("the demo ended with status %d before its guide was complete; it printed:\n%s", <-ended, text)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return text, func() int {
		cancel()
		return <-ended
	}
}

func TestEveryPrintedCommandDoesWhatItSays(t *testing.T) {
	for _, api := range []string{"v2", "v3"} {
		t.Run(api, func(t *testing.T) { testPrintedCommands(t, api) })
	}
}

func testPrintedCommands(t *testing.T, api string) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	guide, stop := start(t, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--api", api)
	page := regexp.MustCompile(`(?m)^status page (http://\S+)$`).FindStringSubmatch(guide)
	explain := regexp.MustCompile(`(?m)^go run ./cmd/etcd-tlsproxy (explain .*)$`).FindStringSubmatch(guide)
	ready := regexp.MustCompile(`^ready (https://127\.0\.0\.1:(\d+))\n`).FindStringSubmatch(guide)
	commands := regexp.MustCompile(`(?m)^curl .*$`).FindAllString(guide, -1)
	ca := regexp.MustCompile(`--cacert (\S+)`).FindStringSubmatch(guide)
	if ready == nil || page == nil || explain == nil || len(commands) != 4 || ca == nil {
		t.Fatalf("want a line that says ready, the status page, a command that explains, and 4 curl commands with a CA, got:\n%s", guide)
	}
	shell := func(command string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, "sh", "-c", command+" -sS -w ' %{http_code}'").CombinedOutput()
		if err != nil {
			t.Errorf("running %s: %v\n%s", command, err, out)
		}
		return string(out)
	}
	for i, want := range []string{`"action":"get"`, `"value":"pooled"`, `"errorCode":110`} {
		if got := shell(commands[i]); !strings.Contains(got, want) {
			t.Errorf("running %s: got %s, want it to contain %s", commands[i], got, want)
		}
	}
	if got := shell("curl " + page[1]); !strings.Contains(got, "/other") || !strings.Contains(got, "unauthorized") || !strings.HasSuffix(got, " 200") {
		t.Errorf("the status page: got %.500s, want the refused write", got)
	}
	if out, err := exec.Command("sh", "-c", "go run etcd-tlsproxy/cmd/etcd-tlsproxy "+explain[1]).CombinedOutput(); !strings.HasPrefix(string(out), "refused") {
		t.Errorf("running %s: got %v and %s, want refused and the rule", explain[1], err, out)
	}
	if audit, err := os.ReadFile(filepath.Join(filepath.Dir(ca[1]), "audit.log")); err != nil || !strings.Contains(string(audit), "/other") {
		t.Errorf("the audit log: got %s (%v), want the refused write", audit, err)
	}
	watched := make(chan string)
	go func() { watched <- shell(commands[3]) }()
	// curl does not report when its watch is registered, so write until it returns.
	for event := ""; event == ""; {
		shell(commands[1])
		select {
		case event = <-watched:
			if !strings.Contains(event, `"action":"set"`) || !strings.HasSuffix(event, " 200") {
				t.Errorf("the watch returned %s, want an event of a set and status 200", event)
			}
		case <-time.After(50 * time.Millisecond):
		}
	}
	if status := stop(); status != 0 {
		t.Errorf("the demo ended with status %d, want 0", status)
	}
	if _, err := os.Stat(filepath.Dir(ca[1])); !os.IsNotExist(err) {
		t.Errorf("looking for the temporary folder: got %v, want that it does not exist", err)
	}
	if c, err := net.Dial("tcp", "127.0.0.1:"+ready[2]); err == nil {
		c.Close()
		t.Errorf("port %s is still open after the demo", ready[2])
	}
}

func TestAFolderThatWasAskedForIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	_, stop := start(t, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--dir", dir)
	if status := stop(); status != 0 {
		t.Errorf("the demo ended with status %d, want 0", status)
	}
	if _, err := os.Stat(filepath.Join(dir, "ca.crt")); err != nil {
		t.Errorf("looking for the CA in --dir: %v", err)
	}
}

func TestAPortThatIsTakenIsTold(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var out strings.Builder
	if status := tool.Run(context.Background(), newDemo(), []string{"--listen", ln.Addr().String()}, io.Discard, &out); status != 1 {
		t.Errorf("the demo ended with status %d, want 1", status)
	}
	if !strings.Contains(out.String(), "--listen") {
		t.Errorf("got the error %q, want it to name --listen", out.String())
	}
}

func TestAWrongCommandLineHasAStatusOfItsOwn(t *testing.T) {
	for _, args := range [][]string{{"more"}, {"--nothing"}, {"--open=no"}, {"--api", "v4"}} {
		var errs strings.Builder
		if status := tool.Run(t.Context(), newDemo(), args, io.Discard, &errs); status != 2 || errs.Len() == 0 {
			t.Errorf("%q: got status %d and %q, want 2 and a message", args, status, errs.String())
		}
	}
}
