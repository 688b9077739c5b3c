package rpc

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// response draws a response with all kinds of fields.
func response(r *rand.Rand) *pb.RangeResponse {
	number := func() int64 { return r.Int64() >> r.IntN(64) * int64(r.IntN(3)-1) }
	data := func() []byte { return bytes.Repeat([]byte{byte(r.IntN(256))}, r.IntN(300)) }
	answer := &pb.RangeResponse{More: r.IntN(2) == 0, Count: number()}
	if r.IntN(4) > 0 {
		answer.Header = &pb.ResponseHeader{ClusterId: r.Uint64(), MemberId: r.Uint64(), Revision: number(), RaftTerm: 3}
	}
	for range r.IntN(20) {
		answer.Kvs = append(answer.Kvs, &mvccpb.KeyValue{Key: data(), Value: data(), CreateRevision: number(), ModRevision: number(), Version: number(), Lease: number()})
	}
	return answer
}

// plain makes responses comparable: an empty list is like none.
func plain(r *pb.RangeResponse) *pb.RangeResponse {
	if len(r.Kvs) == 0 {
		r.Kvs = nil
	}
	for _, kv := range r.Kvs {
		kv.Key, kv.Value = append([]byte{}, kv.Key...), append([]byte{}, kv.Value...)
	}
	return r
}

func TestARangeIsDecodedLikeAnyMessage(t *testing.T) {
	for seed := range uint64(500) {
		answer := response(rand.New(rand.NewPCG(seed, 1)))
		b, err := answer.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		// A field that a newer etcd may add, of each type.
		b = append(b, 0x98, 0x06, 5, 0x9d, 0x06, 1, 2, 3, 4, 0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, 0x9a, 0x06, 2, 'a', 'b')
		var got, want pb.RangeResponse
		if err := decodeRange(b, &got); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := want.Unmarshal(b); err != nil {
			t.Fatal(err)
		}
		want.XXX_unrecognized = nil
		if !reflect.DeepEqual(plain(&got), plain(&want)) {
			t.Fatalf("seed %d: got\n%+v\nwant\n%+v", seed, &got, &want)
		}
	}
}

func TestAKeyOfARangeCanBeExtendedWithoutDamageToItsValue(t *testing.T) {
	b, err := (&pb.RangeResponse{Kvs: []*mvccpb.KeyValue{{Key: []byte("key"), Value: []byte("value")}}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var got pb.RangeResponse
	if err := decodeRange(b, &got); err != nil {
		t.Fatal(err)
	}
	kv := got.Kvs[0]
	_ = append(kv.Key, "xxxxx"...)
	if string(kv.Value) != "value" {
		t.Errorf("got the value %q, want it as it was", kv.Value)
	}
}

func TestBytesThatAreNoRangeAreAnError(t *testing.T) {
	answer := response(rand.New(rand.NewPCG(7, 1)))
	answer.Kvs = append(answer.Kvs, &mvccpb.KeyValue{Key: []byte("key"), Value: []byte("value")})
	b, err := answer.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	failed := 0
	for n := range b {
		damaged := bytes.Clone(b)
		damaged[n] ^= 1 << r.IntN(8)
		for _, bad := range [][]byte{b[:n], damaged} {
			var got, want pb.RangeResponse
			err, wrong := decodeRange(bad, &got), want.Unmarshal(bad)
			if err != nil {
				failed++
			}
			if err == nil && wrong == nil {
				want.XXX_unrecognized = nil
				for _, kv := range want.Kvs {
					kv.XXX_unrecognized = nil
				}
				if want.Header != nil {
					want.Header.XXX_unrecognized, got.Header.XXX_unrecognized = nil, nil
				}
				if !reflect.DeepEqual(plain(&got), plain(&want)) {
					t.Fatalf("byte %d: got\n%+v\nwant\n%+v", n, &got, &want)
				}
			}
			if err == nil && wrong != nil {
				t.Errorf("byte %d: got no error, want %v", n, wrong)
			}
		}
	}
	if failed < len(b)/2 {
		t.Errorf("of %d damaged responses %d were an error, want more", 2*len(b), failed)
	}
}
