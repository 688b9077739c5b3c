package rpc

import (
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// rangeCodec decodes a [pb.RangeResponse] with a few allocations: its keys and values are parts of one
// buffer. A page has tens of thousands of them, and each would be three allocations otherwise.
type rangeCodec struct{ encoding.CodecV2 }

var codecOfRanges = rangeCodec{encoding.GetCodecV2(proto.Name)}

// Unmarshal implements [encoding.CodecV2].
func (rangeCodec) Unmarshal(data mem.BufferSlice, v any) error {
	return decodeRange(data.Materialize(), v.(*pb.RangeResponse))
}

// errWire means that a response is not the message that it should be.
var errWire = errors.New("found bytes that are no message of protobuf, or a field of another type than it should have")

// kinds are the types of the fields of a message by their numbers, of which 0 is none.
type kinds []protowire.Type

var (
	rangeKinds    = kinds{1: protowire.BytesType, protowire.BytesType, protowire.VarintType, protowire.VarintType}
	keyValueKinds = kinds{1: protowire.BytesType, protowire.VarintType, protowire.VarintType, protowire.VarintType, protowire.BytesType, protowire.VarintType}
)

// decodeRange decodes a response, which keeps the bytes.
func decodeRange(b []byte, r *pb.RangeResponse) error {
	n := 0
	err := rangeKinds.each(b, func(f field) error {
		if f.number == 2 {
			n++
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("decoding the response to a range: %w", err)
	}
	kvs := make([]mvccpb.KeyValue, n)
	*r = pb.RangeResponse{Kvs: make([]*mvccpb.KeyValue, 0, n)}
	err = rangeKinds.each(b, func(f field) error {
		switch f.number {
		case 1:
			r.Header = &pb.ResponseHeader{}
			return r.Header.Unmarshal(f.bytes)
		case 2:
			kv := &kvs[len(r.Kvs)]
			r.Kvs = append(r.Kvs, kv)
			return decodeKeyValue(f.bytes, kv)
		case 3:
			r.More = f.varint != 0
		case 4:
			r.Count = int64(f.varint)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("decoding the response to a range: %w", err)
	}
	return nil
}

func decodeKeyValue(b []byte, kv *mvccpb.KeyValue) error {
	return keyValueKinds.each(b, func(f field) error {
		switch f.number {
		case 1:
			kv.Key = f.bytes
		case 2:
			kv.CreateRevision = int64(f.varint)
		case 3:
			kv.ModRevision = int64(f.varint)
		case 4:
			kv.Version = int64(f.varint)
		case 5:
			kv.Value = f.bytes
		case 6:
			kv.Lease = int64(f.varint)
		}
		return nil
	})
}

// field is a field of a message.
type field struct {
	number protowire.Number
	varint uint64
	bytes  []byte
}

// each calls a function for the fields of a message that are known.
func (k kinds) each(b []byte, use func(field) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errWire
		}
		b = b[n:]
		f, known := field{number: number}, int(number) < len(k)
		switch {
		case !known:
			n = protowire.ConsumeFieldValue(number, kind, b)
		case kind != k[number]:
			return errWire
		case kind == protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(b)
		default:
			f.bytes, n = protowire.ConsumeBytes(b)
			f.bytes = f.bytes[:len(f.bytes):len(f.bytes)]
		}
		if n < 0 {
			return errWire
		}
		b = b[n:]
		if known {
			if err := use(f); err != nil {
				return err
			}
		}
	}
	return nil
}
