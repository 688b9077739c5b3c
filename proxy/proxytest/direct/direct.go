// Package direct writes to trees in v3 stores without going through a proxy.
package direct

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// timeout bounds each call.
const timeout = 30 * time.Second

// options returns the options of the tree below a prefix.
func options(at v2v3.Endpoint, prefix string) v2v3.Options {
	return v2v3.Options{Endpoints: []v2v3.Endpoint{at}, Prefix: prefix, Timeout: timeout, Log: slog.New(slog.DiscardHandler)}
}

// Init makes an empty tree with an index below a prefix.
func Init(at v2v3.Endpoint, prefix string, index uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return v2v3.Init(ctx, options(at, prefix), index)
}

// Copy makes what a rehearsal makes of a v2 store without keys that has an index.
func Copy(at v2v3.Endpoint, prefix string, index uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	client, err := rpc.New([]v2v3.Endpoint{at}, "", "")
	if err != nil {
		return err
	}
	defer client.Close()
	keys := layout.Keys(prefix)
	mark := layout.Entry{Action: layout.Mark, Time: time.Now().UnixNano()}
	put, err := client.Put(ctx, &pb.PutRequest{Key: keys.Log(), Value: mark.Encode()})
	if err != nil {
		return fmt.Errorf("putting the log: %w", err)
	}
	meta := layout.Meta{Schema: layout.Schema, MinRead: layout.Schema, MinWrite: layout.Schema, State: layout.Rehearsal,
		Generation: rand.Text(), Copied: index, Offset: int64(index) - put.Header.Revision}
	if _, err := client.Put(ctx, &pb.PutRequest{Key: keys.Meta(), Value: meta.Encode()}); err != nil {
		return fmt.Errorf("putting the description: %w", err)
	}
	return nil
}

// Writer writes to a tree.
type Writer struct{ store *v2v3.Store }

// Open opens the tree below a prefix.
func Open(at v2v3.Endpoint, prefix string) (*Writer, error) {
	s, err := v2v3.Open(options(at, prefix))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	return &Writer{s}, nil
}

// Close closes the tree.
func (w *Writer) Close() { w.store.Close() }

// Put sets a key.
func (w *Writer) Put(key, value string) error {
	r := &v2store.Request{Method: "PUT", Path: key, Query: url.Values{"value": {value}}.Encode()}
	op, invalid := v2store.Parse(r, time.Now())
	if invalid != nil {
		return fmt.Errorf("writing %s: %s", key, invalid.Message)
	}
	a, err := w.store.Do(context.Background(), op)
	if err == nil && a.Failed {
		err = fmt.Errorf("got status %d with %s", a.Status, a.Body)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	return nil
}
