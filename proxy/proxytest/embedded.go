package proxytest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// Options describes an etcd.
type Options struct {
	// Dir is the data folder. It is created if it does not exist.
	Dir string
	// Advertise is the advertised client URL; by default the one that etcd listens on.
	Advertise string
	// Hasty lets members be added and removed at once. Otherwise etcd refuses that until
	// all members have been connected for 5 s.
	Hasty bool
	// NoV2 starts an etcd without the v2 API, which etcd 3.6 and later do not have. It does not
	// apply to StartEmbedded.
	NoV2 bool
	// Quota is the size in bytes at which etcd refuses writes to its v3 store; 0 is etcd's default. It
	// does not apply to a cluster of embedded members.
	Quota int64
	// SnapshotCount is the number of entries of its log after which etcd writes a snapshot of its v2 store; 0
	// is etcd's default. It does not apply to a cluster of embedded members.
	SnapshotCount uint64
	// TLS makes an embedded etcd serve clients with TLS.
	TLS *EtcdTLS
}

// EtcdTLS are the PEM files of an etcd that requires certificates of its clients, and the
// configuration of a client that it accepts.
type EtcdTLS struct {
	Certificate, Key, ClientCA string
	Client                     *tls.Config
}

// Embedded is an etcd 3.5 of one member with the v2 API, in this process.
type Embedded struct {
	// Link carries the connections to etcd. An embedded etcd that is closed waits forever
	// for its watches. Cutting the link breaks them, like the death of a process.
	*Link
	scheme string
	etcd   *embed.Etcd
}

// URL returns the URL for clients, which leads through the link.
func (e *Embedded) URL() string { return e.scheme + "://" + e.ln.Addr().String() }

// StartEmbedded starts an embedded etcd on free loopback ports and waits until it serves.
func StartEmbedded(o Options) (*Embedded, error) {
	scheme, client := "http", http.DefaultClient
	if o.TLS != nil {
		scheme = "https"
		transport := &http.Transport{TLSClientConfig: o.TLS.Client}
		defer transport.CloseIdleConnections()
		client = &http.Client{Transport: transport}
	}
	loopback, err := url.Parse(scheme + "://127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := embed.NewConfig()
	c.Dir = o.Dir
	c.Name = "default"
	c.EnableV2 = true
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*loopback}, []url.URL{*loopback}
	peer := &url.URL{Scheme: "http", Host: loopback.Host}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	if o.TLS != nil {
		c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile = o.TLS.Certificate, o.TLS.Key
		c.ClientTLSInfo.TrustedCAFile, c.ClientTLSInfo.ClientCertAuth = o.TLS.ClientCA, true
	}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	// The files are temporary, so writes need not wait for the disk. A member that is alone elects itself
	// when the time of an election has passed, and no busy peer can make it do so again.
	c.UnsafeNoFsync, c.TickMs, c.ElectionMs = true, 10, 100
	c.QuotaBackendBytes = o.Quota
	if o.SnapshotCount > 0 {
		c.SnapshotCount = o.SnapshotCount
	}
	if o.Advertise != "" {
		advertise, err := url.Parse(o.Advertise)
		if err != nil {
			return nil, fmt.Errorf("reading the advertised URL: %w", err)
		}
		c.AdvertiseClientUrls = []url.URL{*advertise}
	}
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded etcd: %w", err)
	}
	select {
	case <-etcd.Server.ReadyNotify():
		link, err := NewLink(etcd.Clients[0].Addr().String())
		if err != nil {
			etcd.Close()
			return nil, fmt.Errorf("starting the embedded etcd: %w", err)
		}
		e := &Embedded{link, scheme, etcd}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		for !settled(ctx, client, e.URL()) {
			select {
			case <-ctx.Done():
				e.Close()
				return nil, errors.New("starting the embedded etcd: it has not settled after 30 s")
			case <-time.After(2 * time.Millisecond):
			}
		}
		return e, nil
	case err = <-etcd.Err():
	case <-time.After(30 * time.Second):
		err = errors.New("it is not ready after 30 s")
	}
	etcd.Close()
	return nil, fmt.Errorf("starting the embedded etcd: %w", err)
}

// Close stops etcd. Running watches are cut off.
func (e *Embedded) Close() {
	e.Link.Close()
	e.etcd.Close()
}
