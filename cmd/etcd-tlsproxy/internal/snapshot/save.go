// Package snapshot saves, reads and restores snapshots of a v3 store that has a tree of the v2 API.
//
// A snapshot is a file as etcd itself makes them: the database of a member, followed by its SHA-256.
// etcd's own tools restore it as well. This package reads such a file without an etcd, so that a
// backup that lacks the tree, or parts of it, is noticed when it is made. A restore is done by etcd's
// tool. An etcd without a network then raises the index of the tree, so that no index that clients
// have seen is used again.
package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Store is a v3 store that has a tree.
type Store struct {
	// Endpoints are the members; the preferred one is first.
	Endpoints []rpc.Endpoint
	// User and Password are for etcd's own authentication; the user "" is none.
	User, Password string
	// Prefix precedes all keys of the tree.
	Prefix string
	// Timeout bounds each request but the snapshot itself.
	Timeout time.Duration
}

// Source is the member that a snapshot came from.
type Source struct {
	memberhost.Identity
	Address, Name, Version string
	// Index is that of the last event before the snapshot was asked for.
	Index uint64
}

// Save writes a snapshot to a new file. It contains every write that was acknowledged before.
func (s *Store) Save(ctx context.Context, path string) (*Source, error) {
	client, err := rpc.New(s.Endpoints, s.User, s.Password)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var wrong []error
	for i := range s.Endpoints {
		if err := client.Use(i); err != nil {
			return nil, err
		}
		source, err := s.save(ctx, client, path)
		if err == nil || ctx.Err() != nil || errors.Is(err, errLocal) {
			return source, err
		}
		wrong = append(wrong, fmt.Errorf("%s: %w", s.Endpoints[i].Addr, err))
	}
	return nil, errors.Join(wrong...)
}

// errLocal means that the fault is that of this machine.
var errLocal = errors.New("writing the snapshot")

func (s *Store) save(ctx context.Context, client *rpc.Client, path string) (*Source, error) {
	source, err := s.identify(ctx, client)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLocal, err)
	}
	if _, err = client.Snapshot(ctx, file); err != nil {
		if _, isPath := errors.AsType[*os.PathError](err); isPath {
			err = fmt.Errorf("%w: %w", errLocal, err)
		} else if strings.HasSuffix(rpc.Reason(err), "permission denied") { // etcd 3.4 does not set the code of it
			err = fmt.Errorf("%s (hint: with authentication, etcd gives snapshots to users with the role root only: name one with --user and --password-file)", rpc.Reason(err))
		}
		return nil, errors.Join(err, file.Close())
	}
	return source, file.Close()
}

// identify describes the member in use.
func (s *Store) identify(ctx context.Context, client *rpc.Client) (*Source, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	// This read is answered when the member has applied all that was acknowledged before.
	meta, log, header, err := readState(ctx, client, layout.Keys(s.Prefix))
	if err != nil {
		return nil, err
	}
	_, address := client.Endpoint()
	source := &Source{Identity: memberhost.Identity{Member: memberhost.ID(header.MemberId), Cluster: memberhost.ID(header.ClusterId)},
		Address: address, Index: meta.Index(log.ModRevision)}
	status, err := client.Maintenance().Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return nil, fmt.Errorf("reading etcd's version: %s", rpc.Reason(err))
	}
	source.Version = status.Version
	list, err := client.Cluster().MemberList(ctx, &pb.MemberListRequest{})
	if err != nil {
		return nil, fmt.Errorf("reading the members: %s", rpc.Reason(err))
	}
	for _, m := range list.Members {
		if m.ID == header.MemberId {
			source.Name = m.Name
		}
	}
	return source, nil
}
