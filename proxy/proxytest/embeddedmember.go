package proxytest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// embeddedMember is one of several embedded members. It has no Link, because its client
// and peer URLs must be known before it starts.
type embeddedMember struct {
	config *embed.Config
	etcd   *embed.Etcd
}

func newEmbeddedMember(name string, o Options) (*embeddedMember, error) {
	client, err := freeURL()
	if err != nil {
		return nil, err
	}
	peer, err := freeURL()
	if err != nil {
		return nil, err
	}
	advertise := client
	if o.Advertise != "" {
		if advertise, err = url.Parse(o.Advertise); err != nil {
			return nil, fmt.Errorf("reading the advertised URL: %w", err)
		}
	}
	c := embed.NewConfig()
	c.Dir, c.Name, c.EnableV2 = o.Dir, name, !o.NoV2
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*advertise}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	c.StrictReconfigCheck = !o.Hasty
	// The files are temporary, so writes need not wait for the disk. On loopback an
	// election needs less than a second.
	c.UnsafeNoFsync, c.TickMs, c.ElectionMs = true, heartbeat, election
	return &embeddedMember{config: c}, nil
}

// heartbeat and election are in milliseconds, and as short as busy machines allow.
const (
	heartbeat = 50
	election  = 500
)

func freeURL() (*url.URL, error) {
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	return &url.URL{Scheme: "http", Host: address}, nil
}

func (m *embeddedMember) Name() string    { return m.config.Name }
func (m *embeddedMember) URL() string     { return m.config.ListenClientUrls[0].String() }
func (m *embeddedMember) PeerURL() string { return m.config.ListenPeerUrls[0].String() }

func (m *embeddedMember) joins(cluster, state string) {
	m.config.InitialCluster, m.config.ClusterState = cluster, state
}

func (m *embeddedMember) launch() error {
	var err error
	if m.etcd, err = embed.StartEtcd(m.config); err != nil {
		m.etcd = nil
		return fmt.Errorf("starting the embedded etcd: %w", err)
	}
	return nil
}

func (m *embeddedMember) Start() error {
	if err := m.launch(); err != nil {
		return err
	}
	return m.waitHealthy()
}

func (m *embeddedMember) waitHealthy() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	select {
	case <-m.etcd.Server.ReadyNotify():
	case err := <-m.etcd.Err():
		return fmt.Errorf("starting the embedded etcd: %w", err)
	case <-ctx.Done():
		return errors.New("starting the embedded etcd: it is not ready after 30 s")
	}
	for !healthy(ctx, m.URL()) || !settled(ctx, http.DefaultClient, m.URL()) {
		select {
		case <-ctx.Done():
			return errors.New("starting the embedded etcd: it is not healthy after 30 s")
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

func (m *embeddedMember) Close() {
	if m.etcd != nil {
		// Close waits for connections on which no byte was ever sent.
		http.DefaultClient.CloseIdleConnections()
		// Otherwise Close would wait forever for a member that never became ready.
		m.etcd.Server.HardStop()
		m.etcd.Close()
		m.etcd = nil
	}
}
