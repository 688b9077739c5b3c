package daemon

import (
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
)

// TestTheProxyKnowsEverySurfaceOfTheConfiguration fails if the two lists differ.
func TestTheProxyKnowsEverySurfaceOfTheConfiguration(t *testing.T) {
	named := make(map[string]acl.Group)
	for _, name := range config.SurfaceNames() {
		named[name] = acl.Only("root")
	}
	if opened := surfaces(named); len(opened) != len(named) {
		t.Errorf("%d names became the surfaces %v, want as many surfaces as names", len(named), opened)
	}
}
