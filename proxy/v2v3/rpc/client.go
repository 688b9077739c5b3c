package rpc

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// defaultMaxResponse bounds a response. Etcd bounds requests by 1.5 MiB unless it is told
// otherwise. The largest responses are pages of keys, which the caller makes smaller if they are
// too large, and events, which etcd sends in fragments if the caller wants that.
const defaultMaxResponse = 64 << 20

// Endpoint is a member of the cluster.
type Endpoint struct {
	// Addr is a host and a port.
	Addr string
	// TLS is nil for plain text.
	TLS *tls.Config
}

// URL returns the client URL of the member, at which it may have the v2 API as well.
func (e Endpoint) URL() string {
	if e.TLS != nil {
		return "https://" + e.Addr
	}
	return "http://" + e.Addr
}

// Client calls one of its endpoints.
type Client struct {
	endpoints      []Endpoint
	user, password string
	maxResponse    atomic.Int64

	mu    sync.Mutex
	conn  *grpc.ClientConn
	at    int
	token string
	login *login // the last one at conn; nil before the first
	// retired are the connections on which calls may still be under way.
	retired map[*grpc.ClientConn]*time.Timer
}

// New returns a client of endpoints, of which there is at least one. It connects with the first
// call. The user "" is none.
func New(endpoints []Endpoint, user, password string) (*Client, error) {
	c := &Client{endpoints: endpoints, user: user, password: password, retired: map[*grpc.ClientConn]*time.Timer{}}
	c.maxResponse.Store(defaultMaxResponse)
	return c, c.Use(0)
}

// LimitResponses sets the size of the largest response. It applies from the next call of Use on.
func (c *Client) LimitResponses(bytes int) { c.maxResponse.Store(int64(bytes)) }

// Use makes calls go to an endpoint from now on. Those that are on their way end with an error.
func (c *Client) Use(endpoint int) error { return c.UseWithin(endpoint, 0) }

// UseWithin is Use, but calls that are on their way at the old endpoint have some time left.
func (c *Client) UseWithin(endpoint int, grace time.Duration) error {
	conn, err := c.dial(c.endpoints[endpoint])
	if err != nil {
		return fmt.Errorf("preparing the connection to %s: %w", c.endpoints[endpoint].Addr, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.conn
	c.conn, c.at, c.token = conn, endpoint, "" // a simple token is only known to its member
	switch {
	case old == nil:
	case grace > 0:
		c.retired[old] = time.AfterFunc(grace, func() { c.discard(old) })
	default:
		_ = old.Close()
	}
	return nil
}

// discard closes a connection that was replaced some time ago.
func (c *Client) discard(conn *grpc.ClientConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.retired, conn)
	_ = conn.Close()
}

// Endpoint returns the endpoint in use: its place and its address.
func (c *Client) Endpoint() (int, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at, c.endpoints[c.at].Addr
}

// Endpoints returns the number of endpoints.
func (c *Client) Endpoints() int { return len(c.endpoints) }

// Close ends all calls.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.Close()
	for conn, timer := range c.retired {
		timer.Stop()
		_ = conn.Close()
	}
	clear(c.retired)
}

// Probe reads a key at an endpoint that need not be in use. It succeeds only if the endpoint has a
// leader and belongs to the cluster.
func (c *Client) Probe(ctx context.Context, endpoint int, key []byte, cluster uint64) error {
	conn, err := c.dial(c.endpoints[endpoint])
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := pb.NewKVClient(conn).Range(RequireLeader(ctx), &pb.RangeRequest{Key: key, KeysOnly: true})
	if err == nil && answer.Header.ClusterId != cluster {
		return fmt.Errorf("the endpoint belongs to another cluster")
	}
	return err
}

func (c *Client) dial(e Endpoint) (*grpc.ClientConn, error) {
	secure := insecure.NewCredentials()
	if e.TLS != nil {
		secure = credentials.NewTLS(e.TLS)
	}
	return grpc.NewClient("passthrough:///"+e.Addr,
		grpc.WithTransportCredentials(secure),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(int(c.maxResponse.Load()))),
		// The shortest period that etcd allows is 5 s, and that of gRPC is 10 s. A dead member is found
		// sooner, by the watch.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second}),
		// A member that is back is used again soon. The caller waits between its attempts.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 3 * time.Second}),
		grpc.WithUnaryInterceptor(c.authenticate))
}

func (c *Client) current() *grpc.ClientConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// Range reads keys. They are parts of one buffer, so that whoever keeps one keeps them all.
func (c *Client) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	return pb.NewKVClient(c.current()).Range(ctx, r, grpc.ForceCodecV2(codecOfRanges))
}

// Txn executes a transaction.
func (c *Client) Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	return pb.NewKVClient(c.current()).Txn(ctx, r)
}

// Compact forgets old revisions.
func (c *Client) Compact(ctx context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	return pb.NewKVClient(c.current()).Compact(ctx, r)
}

// Put puts a key.
func (c *Client) Put(ctx context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	return pb.NewKVClient(c.current()).Put(ctx, r)
}

// Lease returns the calls about leases.
func (c *Client) Lease() pb.LeaseClient { return pb.NewLeaseClient(c.current()) }

// Cluster returns the calls about members.
func (c *Client) Cluster() pb.ClusterClient { return pb.NewClusterClient(c.current()) }

// Maintenance returns the calls about a member.
func (c *Client) Maintenance() pb.MaintenanceClient { return pb.NewMaintenanceClient(c.current()) }
