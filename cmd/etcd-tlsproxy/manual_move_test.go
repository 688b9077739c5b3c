package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// moveSection takes a cluster from the v2 API of etcd 3.5 to etcd 3.7.
const moveSection = "From the v2 API to etcd 3.7"

// moveVariable makes the test follow all of that section. Members need 7 s for each of their restarts.
const moveVariable = "ETCD_TLSPROXY_TEST_MOVE"

// TestTheManualOfTheMove follows the section about the move, after those that make a cluster of etcd 3.5 with the v2
// API. Clients count and watch through all proxies. Without ETCD_TLSPROXY_TEST_MOVE=1 it ends when the old keys are
// deleted, before members are restarted.
func TestTheManualOfTheMove(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	etcd := filepath.Join(t.TempDir(), etcd35Name)
	if err := os.Symlink(self, etcd); err != nil {
		t.Fatal(err)
	}
	m := machinesWith(t, etcd, "health")
	story := newStory(t, m)
	follow(t, m, story, func(b *block) bool {
		return b.section == "" || b.section == "Users and the table" || b.section == "The first member" || b.section == "Adding a member"
	}, func(string) {})
	counting := startCounting(t, story)
	restarts := os.Getenv(moveVariable) != ""
	follow(t, m, story, func(b *block) bool {
		return b.section == "" || b.section == moveSection && (restarts || b.part != "The restart without the v2 API")
	}, func(string) { counting.progress() })
	for i, release := range []string{"3.6", "3.7"} {
		at := slices.IndexFunc(proxytest.Releases(), func(r proxytest.Release) bool { return r.Name == release })
		if !restarts || at < 0 {
			t.Logf("the upgrade to etcd %s is left out", release)
			break
		}
		counting.progress()
		parts := []string{"Its upgrade"}
		if i > 0 {
			parts = append([]string{"Before its upgrade"}, parts...)
		}
		follow(t, m, story, func(b *block) bool {
			return b.section == "" || b.section == v3Section && slices.Contains(parts, b.part)
		}, func(section string) {
			if strings.HasSuffix(section, "/Its upgrade") {
				m.install(proxytest.Releases()[at])
			}
		})
	}
	counting.progress()
	counting.end()
}
