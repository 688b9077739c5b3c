package rpc

import (
	"context"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// Size is how large the store of a member is, and whether etcd still takes writes.
type Size struct {
	// File is the size of the member's file, which counts for the quota, and InUse the part of it that
	// holds data. A compaction makes only the second one smaller.
	File, InUse int64
	// Quota is the size of the file at which etcd refuses writes; 0 if the member does not tell.
	// Etcd tells since 3.6.
	Quota int64
	// NoSpace and Corrupt are alarms. They hold for all members.
	NoSpace, Corrupt bool
}

// Size asks the member in use. It answers by itself, without a quorum.
func (c *Client) Size(ctx context.Context) (Size, error) {
	status, err := c.Maintenance().Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return Size{}, err
	}
	size := Size{File: status.DbSize, InUse: status.DbSizeInUse, Quota: quotaOf(status.XXX_unrecognized)}
	for _, text := range status.Errors {
		size.NoSpace = size.NoSpace || strings.Contains(text, pb.AlarmType_NOSPACE.String())
		size.Corrupt = size.Corrupt || strings.Contains(text, pb.AlarmType_CORRUPT.String())
	}
	return size, nil
}

// quotaField is the number of dbSizeQuota in etcd's StatusResponse. The types of etcd 3.5 do not have it.
const quotaField = 12

// quotaOf finds the quota among the fields of a response that are not known.
func quotaOf(fields []byte) int64 {
	for len(fields) > 0 {
		number, kind, n := protowire.ConsumeTag(fields)
		if n < 0 {
			return 0
		}
		fields = fields[n:]
		if number == quotaField && kind == protowire.VarintType {
			quota, n := protowire.ConsumeVarint(fields)
			if n < 0 {
				return 0
			}
			return int64(quota)
		}
		if n = protowire.ConsumeFieldValue(number, kind, fields); n < 0 {
			return 0
		}
		fields = fields[n:]
	}
	return 0
}
