package recovery

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/proxy/proxytest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "check-member" {
		os.Exit(checkMember(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "restore-member" {
		os.Exit(restoreMember(os.Args[2:]))
	}
	proxytest.WaitTogether()
	proxytest.VerifyNoLeaks(m)
}

// checkMember is the verb of that name: scripts run the program of these tests for it.
func checkMember(args []string) int {
	var m memberhost.Member
	f := flag.NewFlagSet("check-member", flag.ExitOnError)
	f.StringVar(&m.Unit, "etcd-service", "", "")
	f.StringVar(&m.Name, "name", "", "")
	f.StringVar(&m.DataDir, "data-dir", "", "")
	f.StringVar(&m.WALDir, "wal-dir", "", "")
	if err := f.Parse(args); err != nil {
		return 2
	}
	if err := m.CheckUnit(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// restoreMember is the verb of that name.
func restoreMember(args []string) int {
	var m MemberRestore
	f := flag.NewFlagSet("restore-member", flag.ExitOnError)
	f.StringVar(&m.Backup, "backup", "", "")
	f.StringVar(&m.Into, "into", "", "")
	f.StringVar(&m.Name, "name", "", "")
	f.StringVar(&m.PeerURL, "peer-url", "", "")
	f.StringVar(&m.Token, "initial-cluster-token", "", "")
	f.Uint64Var(&m.Raise, "raise-indexes", 0, "")
	f.StringVar(&m.Etcd, "etcd", "", "")
	f.StringVar(&m.Tool, "etcdctl", "", "")
	if err := f.Parse(args); err != nil {
		return 2
	}
	if _, err := m.Run(context.Background(), func(int64) {}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// program returns the path of this program.
func program(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
