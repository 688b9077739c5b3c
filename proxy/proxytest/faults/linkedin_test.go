package faults

import (
	"flag"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"
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
	c := embed.NewConfig()
	c.EnableV2 = false
	f := flag.NewFlagSet("etcd", flag.ContinueOnError)
	f.StringVar(&c.Name, "name", "", "")
	f.StringVar(&c.Dir, "data-dir", "", "")
	f.StringVar(&c.LogLevel, "log-level", "", "")
	f.StringVar(&c.InitialCluster, "initial-cluster", "", "")
	f.StringVar(&c.ClusterState, "initial-cluster-state", "", "")
	f.BoolVar(&c.StrictReconfigCheck, "strict-reconfig-check", true, "")
	f.BoolVar(&c.UnsafeNoFsync, "unsafe-no-fsync", false, "")
	for name, to := range map[string]*[]url.URL{"listen-client-urls": &c.ListenClientUrls, "advertise-client-urls": &c.AdvertiseClientUrls,
		"listen-peer-urls": &c.ListenPeerUrls, "initial-advertise-peer-urls": &c.AdvertisePeerUrls} {
		f.Func(name, "", func(text string) error {
			u, err := url.Parse(text)
			if err == nil {
				*to = []url.URL{*u}
			}
			return err
		})
	}
	if err := f.Parse(options); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGTERM)
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	<-stopped
	etcd.Close()
}
