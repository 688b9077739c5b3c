package rpc_test

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// startWithUsers starts an etcd with the user root and the password r.
func startWithUsers(t *testing.T) (url string, at rpc.Endpoint) {
	t.Helper()
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	at = rpc.Endpoint{Addr: strings.TrimPrefix(etcd.URL(), "http://")}
	conn, err := grpc.NewClient("passthrough:///"+at.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	auth, ctx := pb.NewAuthClient(conn), t.Context()
	do := func(_ any, failure error) { err = errors.Join(err, failure) }
	do(auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "root"}))
	do(auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "root", Password: "r"}))
	do(auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"}))
	do(auth.AuthEnable(ctx, &pb.AuthEnableRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	return etcd.URL(), at
}

// logins returns how many logins etcd has answered.
func logins(t *testing.T, url string) (n int) {
	t.Helper()
	answer, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, "grpc_server_handled_total") && strings.Contains(line, `grpc_method="Authenticate"`) {
			count, err := strconv.Atoi(line[strings.LastIndexByte(line, ' ')+1:])
			if err != nil {
				t.Fatal(err)
			}
			n += count
		}
	}
	return n
}

// calls makes calls at once and returns their errors.
func calls(t *testing.T, c *rpc.Client, n int) []error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	all := make([]error, n)
	var running sync.WaitGroup
	for i := range all {
		running.Go(func() { _, all[i] = c.Range(ctx, &pb.RangeRequest{Key: []byte("a")}) })
	}
	running.Wait()
	return all
}

// TestEtcdHashesAPasswordOnceForAllCalls has many calls, some of them at once, with the right password and with a wrong one.
// On a busy machine the last of them may come when the first refusal does not stand any more.
func TestEtcdHashesAPasswordOnceForAllCalls(t *testing.T) {
	url, at := startWithUsers(t)
	for password, refused := range map[string]bool{"r": false, "wrong": true} {
		c, err := rpc.New([]rpc.Endpoint{at}, "root", password)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		before := logins(t, url)
		for range 20 {
			for _, err := range calls(t, c, 5) {
				if rpc.Refused(err) != refused || (err != nil) != refused {
					t.Errorf("the password %s: got %v, want a refusal: %t", password, err, refused)
				}
			}
		}
		if n := logins(t, url) - before; n < 1 || n > 10 {
			t.Errorf("the password %s: etcd has hashed it %d times for 100 calls, want once", password, n)
		}
	}
}

func TestALoginOutlivesTheCallThatBeganIt(t *testing.T) {
	url, at := startWithUsers(t)
	c, err := rpc.New([]rpc.Endpoint{at}, "root", "r")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	before := logins(t, url)
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := c.Range(gone, &pb.RangeRequest{Key: []byte("a")}); err == nil {
		t.Error("a call that was given up has succeeded")
	}
	for _, err := range calls(t, c, 2) {
		if err != nil {
			t.Errorf("a call after it: %v", err)
		}
	}
	if n := logins(t, url) - before; n > 1 {
		t.Errorf("etcd has hashed the password %d times, want once", n)
	}
}
