package faults

import (
	"os"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest/etcd35"
)

// memberVariable has, for a process that is a member of etcd 3.5, its options.
const memberVariable = "ETCD_TLSPROXY_TEST_FAULTS_MEMBER"

// linkedIn returns the command that runs the etcd that is linked in with options of etcd, in a process of
// its own.
func linkedIn(options []string) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return []string{"/usr/bin/env", memberVariable + "=" + strings.Join(options, " "), self, "-test.run=^TestThisProcessIsAMember$", "-test.timeout=0"}, nil
}

// TestThisProcessIsAMember serves until it is told to stop, in a process that the other tests start.
func TestThisProcessIsAMember(t *testing.T) {
	options := strings.Fields(os.Getenv(memberVariable))
	if len(options) == 0 {
		t.Skip("other tests start it in a process of its own")
	}
	if err := etcd35.Run(options); err != nil {
		t.Fatal(err)
	}
}
