package rpc

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// protect turns on etcd's authentication, with the user root, and the user proxy, who may use the
// keys below a/.
func protect(t *testing.T, e Endpoint) {
	t.Helper()
	c := newClient(t, "", "", e)
	auth, ctx := pb.NewAuthClient(c.current()), testContext(t)
	var err error
	do := func(_ any, failure error) { err = errors.Join(err, failure) }
	do(auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "root"}))
	do(auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "some"}))
	do(auth.RoleGrantPermission(ctx, &pb.AuthRoleGrantPermissionRequest{Name: "some",
		Perm: &authpb.Permission{PermType: authpb.READWRITE, Key: []byte("a/"), RangeEnd: []byte("a0")}}))
	for user, role := range map[string]string{"root": "root", "proxy": "some"} {
		do(auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: user, Password: user[:1]}))
		do(auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: user, Role: role}))
	}
	do(auth.AuthEnable(ctx, &pb.AuthEnableRequest{}))
	if err != nil {
		t.Fatal(err)
	}
}

// forgetTokens turns authentication off and on, after which etcd knows no token.
func forgetTokens(t *testing.T, e Endpoint) {
	t.Helper()
	root := newClient(t, "root", "r", e)
	auth := pb.NewAuthClient(root.current())
	if _, err := auth.AuthDisable(testContext(t), &pb.AuthDisableRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.AuthEnable(testContext(t), &pb.AuthEnableRequest{}); err != nil {
		t.Fatal(err)
	}
}

// tokenOf returns the token in use.
func tokenOf(c *Client) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}

func TestATokenIsKeptUntilEtcdForgetsIt(t *testing.T) {
	t.Parallel()
	e := endpoint(t, startEtcd(t).URL())
	protect(t, e)
	c := newClient(t, "proxy", "p", e)
	if got := tokenOf(c); got != "" {
		t.Errorf("before the first call: got the token %q, want none", got)
	}
	put(t, c, "a/1", "1")
	first := tokenOf(c)
	put(t, c, "a/1", "2")
	watch(t, c, "a/1", 0, false)
	if got := tokenOf(c); got != first || got == "" {
		t.Errorf("after two calls and a watch: got the token %q, want that of the first call, %q", got, first)
	}
	forgetTokens(t, e)
	put(t, c, "a/1", "3")
	if got := tokenOf(c); got == first || got == "" {
		t.Errorf("got the token %q, want another one than %q", got, first)
	}
}

// TestATokenIsOnlyUsedAtItsMember sends a call over a connection that is not in use any more. Only a
// member knows its tokens.
func TestATokenIsOnlyUsedAtItsMember(t *testing.T) {
	t.Parallel()
	e := endpoint(t, startEtcd(t).URL())
	protect(t, e)
	c := newClient(t, "proxy", "p", e, e)
	put(t, c, "a/1", "1")
	first, old := tokenOf(c), c.current()
	if err := c.UseWithin(1, 1<<40); err != nil {
		t.Fatal(err)
	}
	if got := tokenOf(c); got != "" {
		t.Errorf("got the token %q at the other endpoint, want none", got)
	}
	put(t, c, "a/1", "2")
	second := tokenOf(c)
	authentic, err := c.withToken(testContext(t), old, false)
	if err != nil {
		t.Fatal(err)
	}
	fields, _ := metadata.FromOutgoingContext(authentic)
	if got := fields.Get(rpctypes.TokenFieldNameGRPC); len(got) != 1 || got[0] == first || got[0] == second || got[0] == "" {
		t.Errorf("got the token %q at the old endpoint, want a new one", got)
	}
	if got := tokenOf(c); got != second {
		t.Errorf("got the token %q, want that of the endpoint in use, %q", got, second)
	}
}

// TestATokenThatIsAlwaysRefusedIsRenewedOnce calls a method whose answer is always that the token is not
// valid.
func TestATokenThatIsAlwaysRefusedIsRenewedOnce(t *testing.T) {
	t.Parallel()
	e := endpoint(t, startEtcd(t).URL())
	protect(t, e)
	c := newClient(t, "proxy", "p", e)
	for _, test := range []struct {
		answer error
		tokens int
	}{{rpctypes.ErrGRPCInvalidAuthToken, 2}, {rpctypes.ErrGRPCAuthOldRevision, 2}, {rpctypes.ErrGRPCUserEmpty, 2},
		{rpctypes.ErrGRPCPermissionDenied, 1}, {status.Error(codes.Unavailable, "lost"), 1}, {nil, 1}} {
		used := map[string]bool{}
		calls := 0
		err := c.authenticate(testContext(t), "/etcdserverpb.KV/Put", nil, nil, c.current(),
			func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
				fields, _ := metadata.FromOutgoingContext(ctx)
				used[strings.Join(fields.Get(rpctypes.TokenFieldNameGRPC), ",")] = true
				calls++
				return test.answer
			})
		if !errors.Is(err, test.answer) || calls != test.tokens || len(used) != test.tokens || used[""] {
			t.Errorf("%v: got the error %v after %d calls with %d tokens, want %d", test.answer, err, calls, len(used), test.tokens)
		}
	}
}

func TestAWrongPasswordIsARefusal(t *testing.T) {
	t.Parallel()
	e := endpoint(t, startEtcd(t).URL())
	protect(t, e)
	for _, password := range []string{"wrong", ""} {
		c := newClient(t, "proxy", password, e)
		_, err := c.Put(testContext(t), &pb.PutRequest{Key: []byte("a/1")})
		if !Refused(err) || !strings.HasPrefix(err.Error(), "authenticating at etcd: ") || strings.Contains(err.Error(), "wrong") {
			t.Errorf("got the error %v, want a refusal without the password", err)
		}
		if w, err := c.Watch(testContext(t), []byte("a/1"), nil, 0, 0, false); w != nil || !Refused(err) {
			t.Errorf("a watch: got the error %v, want a refusal", err)
		}
	}
}

func TestACallWithoutRightsIsRefusedByEtcd(t *testing.T) {
	e := endpoint(t, startEtcd(t).URL())
	protect(t, e)
	for _, user := range []string{"", "proxy"} {
		c := newClient(t, user, "p", e)
		if _, err := c.Put(testContext(t), &pb.PutRequest{Key: []byte("b"), Value: []byte("1")}); !Refused(err) {
			t.Errorf("user %q: got the error %v, want a refusal", user, err)
		}
	}
	c := newClient(t, "proxy", "p", e)
	w := watch(t, c, "a/1", 0, false)
	put(t, c, "a/1", "1")
	if _, events, err := w.Next(); err != nil || len(events) != 1 {
		t.Errorf("a watch with the right: got %d events, %v, want one", len(events), err)
	}
}

// TestAUserIsNoErrorBeforeAuthenticationIsEnabled configures the user first.
func TestAUserIsNoErrorBeforeAuthenticationIsEnabled(t *testing.T) {
	e := endpoint(t, startEtcd(t).URL())
	c := newClient(t, "proxy", "p", e)
	put(t, c, "a/1", "1")
	watch(t, c, "a/1", 0, false)
	if got := tokenOf(c); got != "" {
		t.Errorf("got the token %q, want none", got)
	}
	protect(t, e)
	put(t, c, "a/1", "2")
	if got := tokenOf(c); got == "" {
		t.Error("got no token, want one since authentication is enabled")
	}
}

// TestNoTokenIsSentWithoutAUser asks for the fields of a call, and repeats none that etcd refuses.
func TestNoTokenIsSentWithoutAUser(t *testing.T) {
	t.Parallel()
	e := endpoint(t, startEtcd(t).URL())
	protect(t, e)
	c := newClient(t, "", "", e)
	ctx := testContext(t)
	if got, err := c.withToken(ctx, c.current(), true); got != ctx || err != nil {
		t.Errorf("got other fields, or the error %v", err)
	}
	calls := 0
	err := c.authenticate(ctx, "/etcdserverpb.KV/Put", nil, nil, c.current(),
		func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
			calls++
			return rpctypes.ErrGRPCUserEmpty
		})
	if calls != 1 || !errors.Is(err, rpctypes.ErrGRPCUserEmpty) {
		t.Errorf("got the error %v after %d calls, want that of etcd after one", err, calls)
	}
}
