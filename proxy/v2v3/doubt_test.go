package v2v3

import (
	"errors"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestAWriteThatAWrongMirrorAllowsIsNotTriedForever removes the record of a file behind the back of the
// store, so that no plan of an update holds.
func TestAWriteThatAWrongMirrorAllowsIsNotTriedForever(t *testing.T) {
	f := start(t)
	f.do("PUT /d/a?value=1")
	f.spoil("/d/a")
	f.mu.Lock()
	f.m.Doubtful = false // as if the event had been lost
	f.mu.Unlock()
	_, err := f.Do(testContext(t), parse(t, "PUT /d/a?prevExist=true&value=2"))
	var e *Error
	if !errors.As(err, &e) || e.Kind != NotExecuted || !strings.Contains(e.Reason, "not that of the store") || f.conflicts.Load() > 0 {
		t.Errorf("got the error %v after %d conflicts, want that the write was not executed because the tree is wrong", err, f.conflicts.Load())
	}
	if !f.doubtful() {
		t.Error("the tree is not compared with the store soon")
	}
	f.wrong("a lost record", "the mirror has", true)
	if f.doubtful() {
		t.Error("the tree is in doubt although it was loaded again")
	}
	f.want("GET /d/a", `404 `+f.indexText()+` {"errorCode":100,"message":"Key not found","cause":"/d/a","index":`+f.indexText()+`}`)
}

// TestAnExpirationThatAWrongMirrorAllowsIsNotTriedAtOnceAgain counts what the keeper asks etcd for a node
// without a record, and for one that another keeper expires.
func TestAnExpirationThatAWrongMirrorAllowsIsNotTriedAtOnceAgain(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.do("PUT /a?value=1&ttl=1000")
	f.spoil("/a")
	keeper := int64(0)
	eventually(t, "there is a keeper", func() bool {
		kv, _, _ := keeping{f.Store}.Keeper()
		if kv != nil {
			keeper = kv.ModRevision
		}
		return kv != nil
	})
	later := time.Now().Add(2000 * time.Second)
	for _, revision := range []int64{keeper, keeper - 1} {
		if more := (keeping{f.Store}).Expire(testContext(t), revision, later); more {
			t.Errorf("with the keeper of the revision %d instead of %d: the sweep did not end after the first refusal", revision, keeper)
		}
	}
}

// spoil deletes the record of a file without an event.
func (f *fixture) spoil(key string) {
	f.Helper()
	c := f.client()
	_, err := c.Txn(testContext(f.T), &pb.TxnRequest{Success: []*pb.RequestOp{{
		Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: f.keys.File(key)}}}}})
	if err == nil {
		err = f.reachNow(c)
	}
	if err != nil {
		f.Fatal(err)
	}
}
