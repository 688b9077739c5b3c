package members

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"etcd-tlsproxy/proxy/proxytest"
)

const jsonType = "application/json"

// TestAnswersAreThoseOfEtcd sends the same requests to etcd's own v2 API.
func TestAnswersAreThoseOfEtcd(t *testing.T) {
	etcd := startEtcd(t)
	c := connect(t, etcd.URL())
	list, err := c.Cluster().MemberList(testContext(t), &pb.MemberListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	peer := list.Members[0].PeerURLs[0]
	for _, request := range [][4]string{
		{"GET"}, {"GET", "/"}, {"GET", "/leader"}, {"GET", "/other"}, {"GET", "/leader/x"}, {"GET", "/" + hex(list.Members[0].ID)},
		{"PATCH"}, {"PATCH", "/leader"}, {"PUT"}, {"PUT", "/"}, {"DELETE"}, {"DELETE", "/"},
		{"DELETE", "/123"}, {"DELETE", "/0123"}, {"DELETE", "/xyz"}, {"DELETE", "/12345678901234567890"},
		{"PUT", "/123", jsonType, `{"peerURLs":["http://127.0.0.1:1"]}`}, {"PUT", "/xyz", jsonType, `{}`},
		{"PUT", "/123", "text/plain", `{"peerURLs":["http://127.0.0.1:1"]}`}, {"PUT", "/123", jsonType, `{"peerURLs":[]}`},
		{"POST", "", jsonType, ``}, {"POST", "", jsonType, `{}`}, {"POST", "", jsonType, `[]`}, {"POST", "", jsonType, `{"peerURLs":["x"]}`},
		{"POST", "", "", `{"peerURLs":["http://127.0.0.1:1"]}`}, {"POST", "", "text/plain; x", `{"peerURLs":["http://127.0.0.1:1"]}`},
		{"POST", "", "Application/JSON", `{"peerURLs":["http://127.0.0.1:1"]}`},
		{"POST", "", "Application/JSON ; charset=utf-8", fmt.Sprintf(`{"peerURLs":[%q]}`, peer)},
		{"POST", "", jsonType, fmt.Sprintf(`{"peerURLs":[%q]}`, peer)}, {"POST", "/x", jsonType, fmt.Sprintf(`{"peerURLs":[%q]}`, peer)},
	} {
		want, body := ask(t, etcd.URL(), request[0], request[1], request[2], request[3])
		got := serve(t, c, request[0], request[1], request[2], request[3])
		if got.Status != want.StatusCode || string(got.Body) != body {
			t.Errorf("%q:\n got %d %s\nwant %d %s", request, got.Status, got.Body, want.StatusCode, body)
		}
		given := map[string]string{}
		for _, f := range got.Fields {
			given[f[0]] = f[1]
		}
		for _, name := range []string{"Content-Type", "Allow", "X-Etcd-Cluster-Id", "X-Content-Type-Options"} {
			if given[name] != want.Header.Get(name) {
				t.Errorf("%q: the field %s is %q, want %q", request, name, given[name], want.Header.Get(name))
			}
		}
	}
}

// TestMembersComeAndGo adds a member to a cluster of three, changes it and removes it.
func TestMembersComeAndGo(t *testing.T) {
	cluster, err := proxytest.NewCluster(proxytest.ClusterOptions{Dir: t.TempDir(), Advertise: make([]string, 3), Hasty: true})
	t.Cleanup(cluster.Close)
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, cluster.Members[0].URL())
	reply := serve(t, c, "POST", "", jsonType, `{"peerURLs":["http://127.0.0.1:1"]}`)
	var added view
	if err := json.Unmarshal(reply.Body, &added); err != nil || reply.Status != 201 || added.Name != "" || !slices.Equal(added.PeerURLs, []string{"http://127.0.0.1:1"}) || added.ClientURLs == nil {
		t.Fatalf("adding: got %d %s, %v, want the new member", reply.Status, reply.Body, err)
	}
	for _, test := range []struct {
		method string
		body   string
		peer   string // of the member afterwards
	}{{"GET", "", "http://127.0.0.1:1"}, {"PUT", `{"peerURLs":["http://127.0.0.1:2"]}`, "http://127.0.0.1:2"}, {"DELETE", "", ""}} {
		if test.method != "GET" {
			if reply := serve(t, c, test.method, "/"+added.ID, jsonType, test.body); reply.Status != 204 || len(reply.Body) > 0 || len(reply.Fields) != 1 {
				t.Errorf("%s: got %d %s, want 204 without a body", test.method, reply.Status, reply.Body)
			}
		}
		// A member that was never started has no name and no client URLs.
		if _, want := ask(t, cluster.Members[0].URL(), "GET", "", "", ""); !sameMembers(want, string(serve(t, c, "GET", "", "", "").Body)) {
			t.Errorf("after %s: got the members %s, want %s", test.method, serve(t, c, "GET", "", "", "").Body, want)
		}
		list, err := List(testContext(t), c)
		if err != nil {
			t.Fatal(err)
		}
		peer, leaders := "", 0
		for i, m := range list {
			if i > 0 && list[i-1].ID >= m.ID {
				t.Errorf("%d is before %d, want the order of the ids", list[i-1].ID, m.ID)
			}
			if hex(m.ID) == added.ID {
				peer = strings.Join(m.PeerURLs, ",")
			}
			if m.Leader {
				leaders++
				leader, err := cluster.Leader()
				if err != nil || m.Name != leader.Name() || m.ClientURLs[0] != leader.URL() {
					t.Errorf("the leader is %+v, want %v (%v)", m, leader, err)
				}
			}
		}
		if peer != test.peer || leaders != 1 {
			t.Errorf("after %s: the peer URL is %q, and %d lead, want %q and one", test.method, peer, leaders, test.peer)
		}
	}
}

// sameMembers reports whether two lists have the same members. Etcd's own are in no order.
func sameMembers(a, b string) bool {
	sorted := func(text string) string {
		list := strings.Split(strings.NewReplacer("[{", "\n{", "},", "}\n", "}]}", "}\n").Replace(text), "\n")
		slices.Sort(list)
		return strings.Join(list, "\n")
	}
	return sorted(a) == sorted(b)
}

// TestWithoutEtcdThereIsNoAnswer cuts the connection.
func TestWithoutEtcdThereIsNoAnswer(t *testing.T) {
	etcd := startEtcd(t)
	c := connect(t, etcd.URL())
	etcd.Cut()
	for _, request := range [][2]string{{"GET", ""}, {"GET", "/leader"}, {"POST", ""}, {"PUT", "/1"}, {"DELETE", "/1"}} {
		if reply, err := Serve(testContext(t), c, &Request{Method: request[0], Path: request[1]}); err == nil || !strings.HasPrefix(err.Error(), "reading the members: ") {
			t.Errorf("%q: got %+v, %v, want an error", request, reply, err)
		}
	}
	if list, err := List(testContext(t), c); err == nil || list != nil {
		t.Errorf("got the members %v, %v, want an error", list, err)
	}
	// The members were read before the connection broke.
	l := &list{members: []Member{{ID: 1}}}
	if reply, err := get(testContext(t), c, l, "leader"); err == nil || !strings.HasPrefix(err.Error(), "finding the leader: ") {
		t.Errorf("the leader: got %+v, %v, want an error", reply, err)
	}
	change := &Request{Method: "POST", ContentType: jsonType, Body: []byte(`{"peerURLs":["http://127.0.0.1:1"]}`)}
	if reply, err := add(testContext(t), c, change); err == nil {
		t.Errorf("adding: got %+v, want an error, because the outcome is unknown", reply)
	}
}

func TestAMemberListIsSortedAndKeepsWhatEtcdSays(t *testing.T) {
	etcd := startEtcd(t)
	c := connect(t, etcd.URL())
	if reply, err := get(testContext(t), c, &list{members: []Member{{ID: 1, Name: "other"}}}, "leader"); err != nil || reply.Status != 503 || string(reply.Body) != `{"message":"During election"}` {
		t.Errorf("a leader that is not in the list: got %d %s, %v, want that there is an election", reply.Status, reply.Body, err)
	}
	// etcd still knows the members if it cannot tell the leader in time.
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if _, err := List(ctx, c); err == nil {
		t.Error("a list without time left is no error")
	}
}

func TestOnlyWhatEtcdRefusesIsAnAnswer(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		body   string
	}{
		{rpctypes.ErrGRPCPeerURLExist, 409, `{"message":"membership: peerURL exists"}`},
		{rpctypes.ErrGRPCMemberExist, 409, `{"message":"membership: ID exists"}`},
		{rpctypes.ErrGRPCMemberNotFound, 404, `{"message":"No such member: 7b"}`},
		{rpctypes.ErrGRPCMemberNotEnoughStarted, 500, `{"message":"Internal Server Error"}`},
		{rpctypes.ErrGRPCUnhealthy, 500, `{"message":"Internal Server Error"}`},
		{rpctypes.ErrGRPCPermissionDenied, 403, `{"message":"etcd refuses: only a user with etcd's role root may change members, and the proxy acts as another one (upstream.user)"}`},
		{rpctypes.ErrGRPCTimeout, 0, ""},
		{rpctypes.ErrGRPCNoLeader, 0, ""},
		{status.Error(codes.Unavailable, "lost"), 0, ""},
		{errors.New("lost"), 0, ""},
	} {
		reply, err := failed(test.err, "7b")
		if reply.Status != test.status || string(reply.Body) != test.body || (err == nil) != (test.status != 0) {
			t.Errorf("%v: got %d %s and the error %v, want %d %s", test.err, reply.Status, reply.Body, err, test.status, test.body)
		}
		if err != nil && strings.Contains(err.Error(), "rpc error") {
			t.Errorf("%v: got the error %v, want none of the words of gRPC", test.err, err)
		}
	}
}

// TestWhatEtcdDoesNotAnswerIsAnError loses the calls behind the reading of the members.
func TestWhatEtcdDoesNotAnswerIsAnError(t *testing.T) {
	etcd := startEtcd(t)
	relay, err := proxytest.NewRelay(strings.TrimPrefix(etcd.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	c := connect(t, "http://"+relay.Addr())
	relay.Set(func(_ context.Context, method string, _ int, _ []byte) error {
		if strings.HasSuffix(method, "/MemberList") {
			return nil
		}
		return status.Error(codes.Unavailable, "lost")
	})
	const urls = `{"peerURLs":["http://127.0.0.1:1"]}`
	for _, r := range []Request{{Method: "GET", Path: "/leader"}, {Method: "POST", ContentType: jsonType, Body: []byte(urls)}, {Method: "DELETE", Path: "/1"}, {Method: "PUT", Path: "/1", ContentType: jsonType, Body: []byte(urls)}} {
		if reply, err := Serve(testContext(t), c, &r); err == nil {
			t.Errorf("%s %s: got %d %s, want an error, because the outcome is unknown", r.Method, r.Path, reply.Status, reply.Body)
		}
	}
	// The members are known all the same, without their leader.
	if list, err := List(testContext(t), c); err != nil || len(list) != 1 || list[0].Leader || list[0].ID == 0 {
		t.Errorf("got the members %+v, %v, want the one without a leader", list, err)
	}
}
