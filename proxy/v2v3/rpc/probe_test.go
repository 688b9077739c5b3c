package rpc

import (
	"maps"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest"
)

func TestAMemberSaysWhoItIs(t *testing.T) {
	link, e := newLink(t, startEtcd(t))
	list, err := newClient(t, "", "", e).Cluster().MemberList(testContext(t), &pb.MemberListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	before := link.Accepted()
	got, err := Probe(testContext(t), e, "", "")
	if err != nil {
		t.Fatal(err)
	}
	id := list.Members[0].ID
	if got.ID != id || got.Leader != id || !strings.HasPrefix(got.Version, "3.") || !maps.Equal(got.Names, map[uint64]string{id: "default"}) {
		t.Errorf("got %+v, want the member %d, which leads", got, id)
	}
	if made := link.Accepted() - before; made != 1 {
		t.Errorf("the probe made %d connections, want one of its own", made)
	}
}

// TestAMemberTellsEverythingOrNothing cuts the connection ever later in the two answers.
func TestAMemberTellsEverythingOrNothing(t *testing.T) {
	link, e := newLink(t, startEtcd(t))
	failures := 0
	for bytes := 0; ; bytes += 8 {
		link.Mend()
		link.CutAfter(proxytest.FromEtcd, bytes)
		got, err := Probe(testContext(t), e, "", "")
		if err == nil {
			if len(got.Names) != 1 || got.ID == 0 {
				t.Errorf("after %d bytes: got %+v, want all or an error", bytes, got)
			}
			break
		}
		failures++
		if got != nil || strings.Contains(err.Error(), "rpc error") {
			t.Errorf("after %d bytes: got %+v and the error %v, want nothing and no words of gRPC", bytes, got, err)
		}
	}
	if failures < 10 {
		t.Errorf("%d probes failed, want more for a test", failures)
	}
}

func TestAProbeUsesTheUser(t *testing.T) {
	etcd := startEtcd(t)
	e := endpoint(t, etcd.URL())
	protect(t, e)
	if got, err := Probe(testContext(t), e, "", ""); err == nil || got != nil {
		t.Errorf("without a user: got %v, %v, want an error", got, err)
	}
	if _, err := Probe(testContext(t), e, "root", "r"); err != nil {
		t.Errorf("with a user: %v", err)
	}
}
