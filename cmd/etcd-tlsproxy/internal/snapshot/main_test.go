package snapshot

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what a test waits for.
const patience = 30 * time.Second

// eachRelease runs a test with each etcd that is at hand and has a tool that restores snapshots.
func eachRelease(t *testing.T, test func(t *testing.T, release proxytest.Release)) {
	t.Helper()
	for _, release := range proxytest.Releases() {
		if release.Restorer() == "" {
			continue
		}
		t.Run(release.Name, func(t *testing.T) {
			t.Parallel()
			test(t, release)
		})
	}
}

// tree is an open tree of the v2 API.
type tree struct {
	*testing.T
	*v2v3.Store
}

// openTree opens the tree at an address.
func openTree(t *testing.T, at, prefix string) *tree {
	t.Helper()
	store, err := v2v3.Open(v2v3.Options{Endpoints: []v2v3.Endpoint{{Addr: at}}, Prefix: prefix, Timeout: patience, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := store.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return &tree{t, store}
}

// do carries out a request, and returns its status, its index and its body.
func (t *tree) do(request string) (status int, index uint64, body string) {
	t.Helper()
	method, target, _ := strings.Cut(request, " ")
	path, query, _ := strings.Cut(target, "?")
	op, invalid := v2store.Parse(&v2store.Request{Method: method, Path: path, Query: query}, time.Now())
	if invalid != nil {
		t.Fatalf("%s: %v", request, invalid)
	}
	a, err := t.Store.Do(t.Context(), op)
	if err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	return a.Status, a.Index, string(a.Body)
}

// startStore starts an etcd with a tree that has the index 1000.
func startStore(t *testing.T, release proxytest.Release, prefix string) (*Store, *tree, *proxytest.Cluster) {
	t.Helper()
	cluster, err := release.Cluster(t.TempDir(), 1)
	t.Cleanup(cluster.Close)
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(cluster.Members[0].URL())
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{Endpoints: []rpc.Endpoint{{Addr: at.Host}}, Prefix: prefix, Timeout: patience}
	o := v2v3.Options{Endpoints: s.Endpoints, Prefix: prefix}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := v2v3.Init(ctx, o, 1000); err != nil {
		t.Fatal(err)
	}
	return s, openTree(t, at.Host, prefix), cluster
}

// client returns a client of a store.
func client(t *testing.T, s *Store) *rpc.Client {
	t.Helper()
	c, err := rpc.New(s.Endpoints, s.User, s.Password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// enableAuth enables etcd's authentication, with root and a user who may use the tree only.
func enableAuth(ctx context.Context, t *testing.T, s *Store) {
	t.Helper()
	connection, err := grpc.NewClient(s.Endpoints[0].Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	auth := pb.NewAuthClient(connection)
	steps := []func() error{
		func() error { _, err := auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "root"}); return err },
		func() error { _, err := auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "tree"}); return err },
		func() error {
			_, err := auth.RoleGrantPermission(ctx, &pb.AuthRoleGrantPermissionRequest{Name: "tree",
				Perm: &authpb.Permission{PermType: authpb.READWRITE, Key: []byte(".v2/"), RangeEnd: []byte("0")}})
			return err
		},
	}
	for _, user := range []string{"root", "tree"} {
		steps = append(steps,
			func() error {
				_, err := auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: user, Password: "secret", Options: &authpb.UserAddOptions{}})
				return err
			},
			func() error {
				_, err := auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: user, Role: user})
				return err
			})
	}
	steps = append(steps, func() error { _, err := auth.AuthEnable(ctx, &pb.AuthEnableRequest{}); return err })
	for i, step := range steps {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
}
