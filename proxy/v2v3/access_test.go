package v2v3

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// authClient returns etcd's calls about authentication.
func authClient(t *testing.T, o Options) pb.AuthClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+o.Endpoints[0].Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return pb.NewAuthClient(conn)
}

// protect turns on etcd's authentication, with a user that may use the tree only.
func protect(t *testing.T, o Options) {
	t.Helper()
	auth, ctx := authClient(t, o), testContext(t)
	start, end := layout.Keys(o.Prefix).Range()
	for _, step := range []func() error{
		func() error { _, err := auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "root"}); return err },
		func() error {
			_, err := auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "root", Password: "r"})
			return err
		},
		func() error {
			_, err := auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
			return err
		},
		func() error { _, err := auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "tree"}); return err },
		func() error {
			_, err := auth.RoleGrantPermission(ctx, &pb.AuthRoleGrantPermissionRequest{Name: "tree",
				Perm: &authpb.Permission{PermType: authpb.READWRITE, Key: start, RangeEnd: end}})
			return err
		},
		func() error {
			_, err := auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "proxy", Password: "p"})
			return err
		},
		func() error {
			_, err := auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "proxy", Role: "tree"})
			return err
		},
		func() error { _, err := auth.AuthEnable(ctx, &pb.AuthEnableRequest{}); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAUserOfEtcdThatMayUseTheTreeIsEnough(t *testing.T) {
	t.Parallel()
	etcd, o := startEtcd(t)
	o.Prefix = "trees/v2"
	protect(t, o)
	o.User, o.Password = "proxy", "p"
	if err := Init(testContext(t), o, 100); err != nil {
		t.Fatal(err)
	}
	f := attach(t, etcd, o)
	events, lost, _ := f.watch("GET /a?wait=true&stream=true")
	for _, request := range []string{"PUT /a?value=1", "GET /a?quorum=true", "POST /q?value=1", "DELETE /a"} {
		if got := f.do(request); got[0] != '2' {
			t.Errorf("%s: got %s, want success", request, got)
		}
	}
	next(t, events)
	f.right("the writes")
	if len(lost) > 0 {
		t.Errorf("the watch is lost: %v", <-lost)
	}
}

// TestATokenThatEtcdForgotIsRenewed turns authentication off and on, after which etcd knows no token.
func TestATokenThatEtcdForgotIsRenewed(t *testing.T) {
	t.Parallel()
	etcd, o := startEtcd(t)
	protect(t, o)
	o.User, o.Password = "proxy", "p"
	if err := Init(testContext(t), o, 100); err != nil {
		t.Fatal(err)
	}
	f := attach(t, etcd, o)
	f.do("PUT /a?value=1")
	auth, ctx := authClient(t, o), testContext(t)
	root, err := auth.Authenticate(ctx, &pb.AuthenticateRequest{Name: "root", Password: "r"})
	if err == nil {
		_, err = auth.AuthDisable(metadata.AppendToOutgoingContext(ctx, rpctypes.TokenFieldNameGRPC, root.Token), &pb.AuthDisableRequest{})
	}
	if err == nil {
		_, err = auth.AuthEnable(ctx, &pb.AuthEnableRequest{})
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := f.do("PUT /a?value=2"); got[0] != '2' {
			t.Errorf("got %s, want success", got)
		}
	}
	f.away()
	f.back()
}

func TestAWrongPasswordOfEtcdIsReported(t *testing.T) {
	t.Parallel()
	_, o := startEtcd(t)
	protect(t, o)
	for user, password := range map[string]string{"proxy": "wrong", "": ""} {
		o.User, o.Password = user, password
		if err := Init(testContext(t), o, 100); err == nil || !strings.Contains(err.Error(), "user") || strings.Contains(err.Error(), "wrong") {
			t.Errorf("user %q: got the error %v, want one about the user, without the password", user, err)
		}
	}
}

func TestAUserWithoutAuthenticationIsNoError(t *testing.T) {
	etcd, o := startEtcd(t)
	o.User, o.Password = "proxy", "p"
	if err := Init(testContext(t), o, 100); err != nil {
		t.Fatal(err)
	}
	f := attach(t, etcd, o)
	f.do("PUT /a?value=1")
}

// TestTheStoreUsesTLSAndItsCertificate has an etcd that accepts only clients with a certificate.
func TestTheStoreUsesTLSAndItsCertificate(t *testing.T) {
	t.Parallel()
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"ca.pem": pki.CA()}
	if files["server.pem"], files["server.key"], err = pki.Server("127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Client("proxy")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	client := &tls.Config{RootCAs: pki.Pool(), ServerName: "127.0.0.1", Certificates: []tls.Certificate{pair}}
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir(), TLS: &proxytest.EtcdTLS{Certificate: filepath.Join(dir, "server.pem"),
		Key: filepath.Join(dir, "server.key"), ClientCA: filepath.Join(dir, "ca.pem"), Client: client}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	o := testOptions(t, etcd.URL())
	o.Endpoints[0].TLS = client
	if err := Init(testContext(t), o, 100); err != nil {
		t.Fatal(err)
	}
	s := open(t, o)
	if got := do(t, s, "PUT /a?value=1"); got[0] != '2' {
		t.Errorf("got %s, want success", got)
	}
	ctx, cancel := context.WithTimeout(testContext(t), 2*time.Second)
	defer cancel()
	o.Endpoints[0].TLS = &tls.Config{RootCAs: pki.Pool(), ServerName: "127.0.0.1"}
	if err := Init(ctx, o, 100); err == nil || strings.Contains(err.Error(), "has a tree") {
		t.Errorf("without a certificate: got the error %v, want that the connection fails", err)
	}
}
