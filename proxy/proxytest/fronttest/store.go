package fronttest

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

func storeOptions(log *slog.Logger, addresses ...string) v2v3.Options {
	o := v2v3.Options{Timeout: 5 * time.Second, Log: log}
	for _, address := range addresses {
		o.Endpoints = append(o.Endpoints, v2v3.Endpoint{Addr: address})
	}
	return o
}

// openStore opens a store and waits until it serves a tree, if it has one.
func openStore(t testing.TB, o v2v3.Options, tree bool) *v2v3.Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	store, err := v2v3.Open(o)
	if err == nil && tree {
		err = store.Ready(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// origin returns the v3 store at an endpoint, or nil if there is none.
func (f *Front) origin(endpoint string) *lane.Origin {
	_, address, _ := strings.Cut(endpoint, "://")
	found, ok := viewed.Load(address)
	if !ok {
		return nil
	}
	at := found.(*served)
	if f.stores == nil {
		f.stores = make(map[string]*v2v3.Store)
	}
	store := f.stores[address]
	if store == nil {
		o := storeOptions(slog.New(slog.NewTextHandler(f.Log, nil)), append([]string{address}, at.others...)...)
		store = openStore(f.t, o, at.tree)
		at.add(store)
		f.stores[address] = store
	}
	return &lane.Origin{Store: store, Feed: share.NewFeed(f.Metrics.Watches, 64<<20)}
}

// probe asks a member by the v3 API.
func probe(ctx context.Context, e upstream.Endpoint) (upstream.Probed, error) {
	p, err := rpc.Probe(ctx, rpc.Endpoint{Addr: e.Addresses()[0]}, "", "")
	if err != nil {
		return upstream.Probed{}, err
	}
	member := func(id uint64) upstream.Member {
		return upstream.Member{ID: strconv.FormatUint(id, 16), Name: p.Names[id]}
	}
	return upstream.Probed{Member: member(p.ID), Leader: member(p.Leader), Version: p.Version}, nil
}
