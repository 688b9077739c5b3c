package proxytest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// Options describes an etcd.
type Options struct {
	// Dir is its data folder; it is made if it does not exist.
	Dir string
	// Advertise is the client URL it tells others; by default the one it listens
	// on.
	Advertise string
	// Hasty lets members be added and removed at once. Else etcd refuses that until
	// all have been connected for 5 s.
	Hasty bool
}

// Embedded is an etcd 3.5 of one member with the v2 API, in this process.
type Embedded struct {
	// Link is the way to it. An etcd that is closed in its own process waits for
	// its watches for ever; one that dies leaves them cut, as the link does.
	*Link
	etcd *embed.Etcd
}

// StartEmbedded starts one on free ports of loopback and waits until it serves.
func StartEmbedded(o Options) (*Embedded, error) {
	any, err := url.Parse("http://127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := embed.NewConfig()
	c.Dir = o.Dir
	c.Name = "default"
	c.EnableV2 = true
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*any}, []url.URL{*any}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{*any}, []url.URL{*any}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	// The files are thrown away: nobody waits for the disk.
	c.UnsafeNoFsync = true
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
		e := &Embedded{link, etcd}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		for !settled(ctx, e.URL()) {
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

// Close stops it. Watches that are still running are cut off.
func (e *Embedded) Close() {
	e.Link.Close()
	e.etcd.Close()
}
