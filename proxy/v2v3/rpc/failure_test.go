package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestOnlySomeCodesSayThatACallWasNotExecuted(t *testing.T) {
	refused := map[codes.Code]bool{codes.InvalidArgument: true, codes.ResourceExhausted: true, codes.Unauthenticated: true,
		codes.PermissionDenied: true, codes.Unimplemented: true}
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		if got := Refused(status.Error(code, "a reason")); got != refused[code] {
			t.Errorf("%v: got %v, want %v", code, got, refused[code])
		}
	}
	if Refused(nil) || Refused(errors.New("lost")) || Refused(context.DeadlineExceeded) {
		t.Error("an error that etcd has not answered with is taken for a refusal")
	}
	if !Refused(fmt.Errorf("proposing: %w", &authError{status.Error(codes.Unavailable, "lost")})) {
		t.Error("a call without a token is not taken for refused")
	}
}

// TestTheErrorsOfEtcdAreTold makes etcd return each of them.
func TestTheErrorsOfEtcdAreTold(t *testing.T) {
	c := newClient(t, "", "", endpoint(t, startEtcd(t).URL()))
	first := put(t, c, "a", "1")
	if _, err := c.Compact(testContext(t), &pb.CompactionRequest{Revision: put(t, c, "a", "2")}); err != nil {
		t.Fatal(err)
	}
	questions := []struct {
		name string
		ask  func(error) bool
	}{{"Compacted", Compacted}, {"NoSpace", NoSpace}, {"TooLarge", TooLarge}, {"Missing", Missing}, {"Refused", Refused}}
	for _, test := range []struct {
		want string
		call func() error
	}{
		{"Compacted", func() error {
			_, err := c.Range(testContext(t), &pb.RangeRequest{Key: []byte("a"), Revision: first})
			return err
		}},
		{"TooLarge Refused", func() error {
			_, err := c.Put(testContext(t), &pb.PutRequest{Key: []byte("a"), Value: make([]byte, 2<<20)})
			return err
		}},
		{"TooLarge Refused", func() error {
			request := &pb.TxnRequest{}
			for i := range 129 { // etcd allows 128
				put := &pb.PutRequest{Key: fmt.Append(nil, i)}
				request.Success = append(request.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}})
			}
			_, err := c.Txn(testContext(t), request)
			return err
		}},
		{"Missing", func() error {
			_, err := c.Lease().LeaseRevoke(testContext(t), &pb.LeaseRevokeRequest{ID: 1})
			return err
		}},
		{"Refused", func() error { // its key is empty
			_, err := c.Put(testContext(t), &pb.PutRequest{})
			return err
		}},
		{"NoSpace Refused", func() error {
			alarm := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_NOSPACE}
			if _, err := c.Maintenance().Alarm(testContext(t), alarm); err != nil {
				t.Fatal(err)
			}
			_, err := c.Put(testContext(t), &pb.PutRequest{Key: []byte("a")})
			return err
		}},
		{"", func() error { return nil }},
		{"", func() error { return errors.New("larger than max") }},
		{"Refused", func() error { return status.Error(codes.ResourceExhausted, "etcdserver: too many requests") }},
	} {
		err := test.call()
		var got []string
		for _, q := range questions {
			if q.ask(err) {
				got = append(got, q.name)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%v: got %q, want %q", err, got, test.want)
		}
	}
	if !Compacted(fmt.Errorf("watching: %w", ErrCompacted)) {
		t.Error("the end of a watch whose revision was compacted is not told")
	}
}

func TestAReasonHasNoWordsOfTheTransport(t *testing.T) {
	for want, err := range map[string]error{
		"etcdserver: mvcc: required revision has been compacted": rpctypes.ErrGRPCCompacted, "lost": errors.New("lost"),
		"a reason": status.Error(codes.Unavailable, "a reason"),
	} {
		if got := Reason(err); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
}

func TestAnErrorWithANameKeepsItsCode(t *testing.T) {
	err := Named("reading the state", status.Error(codes.Unavailable, "etcdserver: leader changed"))
	const want = "reading the state: etcdserver: leader changed"
	if err.Error() != want || Reason(err) != want || status.Code(err) != codes.Unavailable {
		t.Errorf("got %q with the reason %q and the code %s, want %q twice and %s", err, Reason(err), status.Code(err), want, codes.Unavailable)
	}
}

func TestAPauseEndsWithTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if !Pause(t.Context()) || time.Since(began) != 5*time.Millisecond {
			t.Errorf("a pause ended after %s, want 5 ms and time left", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		began = time.Now()
		if Pause(ctx) || time.Since(began) != time.Millisecond {
			t.Errorf("a pause ended after %s, want 1 ms and no time left", time.Since(began))
		}
	})
}
