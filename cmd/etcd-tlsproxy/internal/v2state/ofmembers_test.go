package v2state

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestWhatEtcdRecordsAboutMembersIsNotLeftOver(t *testing.T) {
	for _, test := range []struct {
		method, path string
		want         bool
	}{
		{"PUT", "/0/members/8e9e05c52164694d/attributes", true},
		{"PUT", "/0/version", true},
		{"QGET", "/0/version", false},
		{"DELETE", "/0/members/8e9e05c52164694d/attributes", false},
		{"PUT", "/1/0/members/8e9e05c52164694d/attributes", false},
		{"PUT", "/1/a", false},
		{"SYNC", "", false},
	} {
		if got := ofMembers(entry{v2: &pb.Request{Method: test.method, Path: test.path}}); got != test.want {
			t.Errorf("%s %s: got %t, want %t", test.method, test.path, got, test.want)
		}
	}
}
