package etcdtool

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"etcd-tlsproxy/proxy/proxytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestACopyHasNoNetwork checks the namespace: a copy with the member's ids would disturb
// the cluster.
func TestACopyHasNoNetwork(t *testing.T) {
	for _, release := range proxytest.Releases() {
		if release.Program == "" {
			continue
		}
		t.Run(release.Name, func(t *testing.T) {
			t.Parallel()
			copied, err := Start(t.Context(), release.Program, filepath.Join(t.TempDir(), "new"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := copied.Close(); err != nil {
					t.Error(err)
				}
			}()
			err = copied.WaitUntil(t.Context(), func(context.Context) error {
				answer, err := (&http.Client{Transport: copied.Transport()}).Get("http://sandbox/version")
				if err == nil {
					err = answer.Body.Close()
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			ours, err := os.Readlink("/proc/self/ns/net")
			if err != nil {
				t.Fatal(err)
			}
			its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", copied.cmd.Process.Pid))
			if err != nil || its == ours {
				t.Errorf("network namespace of the copy: got %s (%v), want another one than %s", its, err, ours)
			}
			if err := copied.Stop(t.Context()); err != nil {
				t.Errorf("stopping the copy: %v", err)
			}
		})
	}
}
