package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// awaitEvery is the interval at which the service's port is tried until it listens.
const awaitEvery = 20 * time.Millisecond

// await waits until the service listens.
func (d *demo) await(ctx context.Context) error {
	for {
		if listens(d.admin) && listens(d.listen) {
			return nil
		}
		select {
		case <-time.After(awaitEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// listens reports whether a connection to an address can be opened.
func listens(address string) bool {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// guide returns what the demo prints: a line that says it is ready, and commands to try.
func (d *demo) guide() string {
	return fmt.Sprintf(`ready https://%[1]s
status page http://%[2]s/-/status

# everyone may read
curl --cacert %[3]s 'https://%[1]s/v2/keys/?recursive=true'
# conftool may write below /conftool
curl --cacert %[3]s -u conftool:conftool-demo -X PUT -d value=pooled https://%[1]s/v2/keys/conftool/v1/mw1001
# but not elsewhere (401)
curl --cacert %[3]s -u conftool:conftool-demo -X PUT -d value=mine https://%[1]s/v2/keys/other
# a watch returns the next write below /conftool: repeat the second command in another terminal
curl --cacert %[3]s 'https://%[1]s/v2/keys/conftool?wait=true&recursive=true'
# why was the third one refused?
go run ./cmd/etcd-tlsproxy explain --running=http://%[2]s --user conftool --method PUT /other
# the same question for an operator: each write and each refusal is a line of
cat %[4]s
# change the rules, and they are in force within two seconds
%[5]s

Ctrl-C ends the proxy and its etcd.
`, d.listen, d.admin, filepath.Join(d.dir, "ca.crt"), filepath.Join(d.dir, "audit.log"), "${EDITOR:-vi} "+filepath.Join(d.dir, "etcd-tlsproxy.toml"))
}

// openPage opens a page in the browser of the desktop.
func openPage(url string) error {
	program := "xdg-open"
	if runtime.GOOS == "darwin" {
		program = "open"
	}
	return exec.Command(program, url).Run()
}
