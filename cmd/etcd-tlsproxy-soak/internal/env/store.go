package env

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// Store is the v3 store of an etcd. It is used directly, and not as the proxy uses it: a file's value is
// under its key there, as written, and everything else of the tree is below ".v2/".
type Store struct{ conn *grpc.ClientConn }

// OpenStore opens the store of an etcd at an address.
func OpenStore(address string) (*Store, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1, MaxDelay: 50 * time.Millisecond}, MinConnectTimeout: time.Second}))
	if err != nil {
		return nil, fmt.Errorf("connecting to etcd: %w", err)
	}
	return &Store{conn}, nil
}

// Close closes the connection.
func (s *Store) Close() { _ = s.conn.Close() }

// try calls etcd. While etcd is down it tries again, for up to Timeout.
func try[T any](call func(context.Context) (T, error)) (answer T, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), transport.Timeout)
	defer cancel()
	for {
		if answer, err = call(ctx); err == nil || ctx.Err() != nil {
			return answer, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// readRange reads the keys in a range, or one key if the end is "".
func (s *Store) readRange(start, end string) (*pb.RangeResponse, error) {
	r := &pb.RangeRequest{Key: []byte(start)}
	if end != "" {
		r.RangeEnd = []byte(end)
	}
	answer, err := try(func(ctx context.Context) (*pb.RangeResponse, error) { return pb.NewKVClient(s.conn).Range(ctx, r) })
	if err != nil {
		return nil, fmt.Errorf("reading the store from %q to %q: %w", start, end, err)
	}
	return answer, nil
}

// Values returns the values of all keys below a folder, by key.
func (s *Store) Values(folder string) (map[string]string, error) {
	answer, err := s.readRange(folder+"/", folder+"0") // the digit follows the slash
	if err != nil {
		return nil, err
	}
	values := make(map[string]string)
	for _, kv := range answer.Kvs {
		values[string(kv.Key)] = string(kv.Value)
	}
	return values, nil
}

// Everything returns everything in the store and the list of its members, by key or place.
func (s *Store) Everything() (map[string]string, error) {
	answer, err := s.readRange("\x00", "\x00")
	if err != nil {
		return nil, err
	}
	all := make(map[string]string)
	for _, kv := range answer.Kvs {
		all["the key "+string(kv.Key)] = string(kv.Key) + " " + string(kv.Value)
	}
	list, err := try(func(ctx context.Context) (*pb.MemberListResponse, error) {
		return pb.NewClusterClient(s.conn).MemberList(ctx, &pb.MemberListRequest{})
	})
	if err != nil {
		return nil, fmt.Errorf("listing the members: %w", err)
	}
	all["the list of members"] = list.String()
	return all, nil
}

// Compact makes the store forget all revisions but the newest.
func (s *Store) Compact() error {
	_, err := try(func(ctx context.Context) (*pb.CompactionResponse, error) {
		newest, err := s.readRange("/", "")
		if err != nil {
			return nil, err
		}
		return pb.NewKVClient(s.conn).Compact(ctx, &pb.CompactionRequest{Revision: newest.Header.Revision})
	})
	if err != nil {
		return fmt.Errorf("compacting the store: %w", err)
	}
	return nil
}

// Keeper returns the revision at which a proxy became the one that expires keys, or 0 if there is none.
func (s *Store) Keeper() (revision int64, err error) {
	answer, err := s.readRange(".v2/keeper", "")
	if err != nil || len(answer.Kvs) == 0 {
		return 0, err
	}
	return answer.Kvs[0].ModRevision, nil
}

// EndSessions ends the lease of each session, and that of the keeper, as etcd does with those of a proxy that
// does not answer. It returns how many there were.
func (s *Store) EndSessions() (ended int, err error) {
	for _, key := range []string{".v2/s/", ".v2/keeper"} {
		answer, err := s.readRange(key, key+"\xff")
		if err != nil {
			return ended, err
		}
		for _, kv := range answer.Kvs {
			ended++
			// It may have ended by itself.
			_, _ = pb.NewLeaseClient(s.conn).LeaseRevoke(context.Background(), &pb.LeaseRevokeRequest{ID: kv.Lease})
		}
	}
	return ended, nil
}

// Size is the size of a store in bytes.
type Size struct {
	File int64 // which does not shrink
	Used int64 // of the file
}

// Size returns the size of the store.
func (s *Store) Size() (Size, error) {
	status, err := try(func(ctx context.Context) (*pb.StatusResponse, error) {
		return pb.NewMaintenanceClient(s.conn).Status(ctx, &pb.StatusRequest{})
	})
	if err != nil {
		return Size{}, fmt.Errorf("asking for the size of the store: %w", err)
	}
	return Size{File: status.DbSize, Used: status.DbSizeInUse}, nil
}
