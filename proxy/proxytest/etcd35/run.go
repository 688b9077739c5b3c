// Package etcd35 is etcd 3.5, which is linked in, as the only work of a process: for tests that need one which can be
// killed, and replaced by another release.
package etcd35

import (
	"flag"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
)

// Run serves with options of etcd until the process is told to stop. It knows those that tests need.
func Run(options []string) error {
	c := embed.NewConfig()
	f := flag.NewFlagSet("etcd", flag.ContinueOnError)
	f.StringVar(&c.Name, "name", "", "")
	f.StringVar(&c.Dir, "data-dir", "", "")
	f.StringVar(&c.LogLevel, "log-level", "warn", "")
	f.StringVar(&c.InitialCluster, "initial-cluster", "", "")
	f.StringVar(&c.InitialClusterToken, "initial-cluster-token", c.InitialClusterToken, "")
	f.StringVar(&c.ClusterState, "initial-cluster-state", "", "")
	f.BoolVar(&c.StrictReconfigCheck, "strict-reconfig-check", true, "")
	f.BoolVar(&c.UnsafeNoFsync, "unsafe-no-fsync", false, "")
	f.BoolVar(&c.EnableV2, "enable-v2", false, "")
	f.Uint64Var(&c.SnapshotCount, "snapshot-count", c.SnapshotCount, "")
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
		return err
	}
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGTERM)
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		return err
	}
	<-stopped
	etcd.Close()
	return nil
}
