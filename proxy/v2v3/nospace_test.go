package v2v3

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// startSmall starts a store before an etcd with a quota.
func startSmall(t *testing.T, quota int64) *fixture {
	t.Helper()
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir(), Quota: quota})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	o := testOptions(t, etcd.URL())
	o.QuotaBytes = quota
	if err := Init(testContext(t), o, 100); err != nil {
		t.Fatal(err)
	}
	return attach(t, etcd, o)
}

// TestAFullStoreIsReadAndNotWritten writes until etcd has no space, and makes space then. Etcd refuses
// removals too, because each of them puts the log.
func TestAFullStoreIsReadAndNotWritten(t *testing.T) {
	t.Parallel()
	f := startSmall(t, 16<<20)
	f.do("PUT /a?value=1")
	f.do("PUT /queue?dir=true")
	_, lost, _ := f.watch("GET /a?wait=true")
	for !f.fill() {
	}
	f.do("DELETE /none") // is refused without a write
	if got := f.do("DELETE /a"); !strings.Contains(got, "database space exceeded") {
		t.Fatalf("got %s, want that etcd is full", got)
	}
	if got := f.Status(); got.Alarm != "no space" {
		t.Errorf("as soon as a write is refused: got the status %+v, want the alarm", got)
	}
	if _, err := f.measure(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := f.Status(); got.Alarm != "no space" || got.FileBytes < 15<<20 || got.UsedBytes == 0 {
		t.Errorf("a full store: got the status %+v, want the alarm and the size", got)
	}
	index := f.indexText()
	refused := `{"errorCode":300,"message":"Raft Internal Error","cause":"etcdserver: mvcc: database space exceeded","index":` + index + `}`
	for _, request := range []string{"PUT /a?value=2", "PUT /b?value=1", "PUT /a?prevValue=1&value=2", "PUT /a?prevExist=true&refresh=true&ttl=10",
		"POST /queue?value=1", "DELETE /a", "DELETE /a?prevValue=1", "DELETE /queue?dir=true", "DELETE /queue?recursive=true"} {
		f.want(request, "500 "+index+" "+refused)
	}
	// What v2 refuses without a write is refused as ever, and reads go on: also at a proxy that starts
	// now, although it can have no session.
	f.want("DELETE /none", `404 `+index+` {"errorCode":100,"message":"Key not found","cause":"/none","index":`+index+`}`)
	late, err := Open(f.options)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if err := late.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{f.Store, late} {
		for _, query := range []string{"", "?quorum=true"} {
			if got := do(t, s, "GET /a"+query); !strings.HasPrefix(got, "200 "+index+" ") || !strings.Contains(got, `"value":"1"`) {
				t.Errorf("GET /a%s: got %s, want the value 1 at the index %s", query, got, index)
			}
		}
	}
	f.makeSpace()
	if got := f.do("DELETE /a"); !strings.HasPrefix(got, "200 ") {
		t.Errorf("after there is space: got %s, want that the file is removed", got)
	}
	if _, err := f.measure(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := f.Status(); got.Alarm != "none" || got.FileBytes > 8<<20 {
		t.Errorf("after there is space: got the status %+v, want no alarm and a small file", got)
	}
	if len(lost) > 0 {
		t.Errorf("the watch is lost: %v", <-lost)
	}
	eventually(t, "the proxy that has started meanwhile has a session", func() bool { _, _, ok := late.session.Fence(); return ok })
	if got := do(t, late, "PUT /b?value=1"); !strings.HasPrefix(got, "201 ") {
		t.Errorf("after there is space: got %s, want a new file", got)
	}
}

// TestAWriteThatFillsTheStoreIsKnown has an etcd that finds out that it is full while it executes a write. It
// answers with the same error then as without having executed it.
func TestAWriteThatFillsTheStoreIsKnown(t *testing.T) {
	t.Parallel()
	f, relay := startRelayed(t)
	var full atomic.Bool
	relay.Set(func(_ context.Context, method string, direction int, message []byte) error {
		switch {
		case method == txnMethod && direction == proxytest.FromEtcd && full.CompareAndSwap(true, false):
			return rpctypes.ErrGRPCNoSpace
		case direction == proxytest.ToEtcd && writes(method, "/executed", message):
			full.Store(true)
		case direction == proxytest.ToEtcd && writes(method, "/refused", message):
			return rpctypes.ErrGRPCNoSpace
		}
		return nil
	})
	if got := f.do("PUT /executed?value=1&prevExist=false"); !strings.HasPrefix(got, "201 ") {
		t.Errorf("a write that was executed: got %s, want its answer", got)
	}
	if got := f.do("PUT /refused?value=1"); !strings.HasPrefix(got, "500 ") || !strings.Contains(got, "database space exceeded") {
		t.Errorf("a write that was not executed: got %s, want the error of etcd", got)
	}
	if got := f.do("GET /refused?quorum=true"); !strings.HasPrefix(got, "404 ") {
		t.Errorf("a key that was not written: got %s, want none", got)
	}
}

// fill has a client of v3 write a MiB, and returns whether etcd is full.
func (f *fixture) fill() (full bool) {
	f.Helper()
	_, err := f.client().Put(testContext(f.T), &pb.PutRequest{Key: []byte("zzz"), Value: []byte(strings.Repeat("x", 1<<20))})
	if rpc.NoSpace(err) {
		return true
	}
	// Etcd counts what it has committed, which this makes it do.
	if err == nil {
		_, err = f.client().Maintenance().Hash(testContext(f.T), &pb.HashRequest{})
	}
	if err != nil {
		f.Fatal(err)
	}
	return false
}

// makeSpace forgets all old versions, and ends the alarm.
func (f *fixture) makeSpace() {
	f.Helper()
	f.compact()
	c := f.client().Maintenance()
	_, err := c.Defragment(testContext(f.T), &pb.DefragmentRequest{})
	var raised *pb.AlarmResponse
	if err == nil {
		raised, err = c.Alarm(testContext(f.T), &pb.AlarmRequest{Action: pb.AlarmRequest_GET})
	}
	for _, a := range raised.GetAlarms() {
		if err == nil {
			_, err = c.Alarm(testContext(f.T), &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: a.MemberID, Alarm: a.Alarm})
		}
	}
	if err != nil {
		f.Fatal(fmt.Errorf("making space: %w", err))
	}
}
