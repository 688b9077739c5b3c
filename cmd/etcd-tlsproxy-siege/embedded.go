package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// newEtcdCommand returns the etcd that is linked in. It is a process of its own, so that its
// memory can be measured and it can be killed, and has those of etcd's flags that a siege
// uses.
func newEtcdCommand() *cobra.Command {
	c := embed.NewConfig()
	var clients, advertised, peers, advertisedPeers string
	cmd := &cobra.Command{
		Use: "etcd", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for text, list := range map[string]*[]url.URL{
				clients: &c.ListenClientUrls, peers: &c.ListenPeerUrls,
			} {
				u, err := url.Parse(text)
				if err != nil {
					return fmt.Errorf("reading a URL: %w", err)
				}
				*list = []url.URL{*u}
			}
			c.AdvertiseClientUrls, c.AdvertisePeerUrls = c.ListenClientUrls, c.ListenPeerUrls
			c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
			return serveEtcd(cmd.Context(), c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Name, "name", c.Name, "name of the member")
	f.StringVar(&c.Dir, "data-dir", "", "folder of the data")
	f.BoolVar(&c.EnableV2, "enable-v2", false, "serve the v2 API")
	f.StringVar(&clients, "listen-client-urls", "", "URL for clients")
	f.StringVar(&advertised, "advertise-client-urls", "", "the same")
	f.StringVar(&peers, "listen-peer-urls", "", "URL for members")
	f.StringVar(&advertisedPeers, "initial-advertise-peer-urls", "", "the same")
	f.StringVar(&c.InitialCluster, "initial-cluster", "", "members of the cluster")
	f.StringVar(&c.ClientTLSInfo.CertFile, "cert-file", "", "certificate for clients")
	f.StringVar(&c.ClientTLSInfo.KeyFile, "key-file", "", "key of the certificate")
	f.UintVar(&c.MaxRequestBytes, "max-request-bytes", c.MaxRequestBytes, "size of the largest request")
	f.Int64Var(&c.QuotaBackendBytes, "quota-backend-bytes", c.QuotaBackendBytes, "size at which writes are refused")
	f.Uint64Var(&c.SnapshotCount, "snapshot-count", c.SnapshotCount, "number of writes after which a snapshot is made")
	return cmd
}

// serveEtcd runs an etcd until ctx ends. Whoever needs its data back starts it again.
func serveEtcd(ctx context.Context, c *embed.Config) error {
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		return fmt.Errorf("starting etcd: %w", err)
	}
	select {
	case <-ctx.Done():
		return nil // the process ends, and with it everything that Close would wait for
	case err := <-etcd.Err():
		return fmt.Errorf("running etcd: %w", err)
	}
}
