package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Snapshot writes the database of the member in use, followed by its SHA-256, and returns the number of
// bytes. It is all that the member had applied when it was asked.
func (c *Client) Snapshot(ctx context.Context, to io.Writer) (size int64, err error) {
	conn := c.current()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if ctx, err = c.withToken(ctx, conn, false); err != nil {
		return 0, err
	}
	stream, err := pb.NewMaintenanceClient(conn).Snapshot(ctx, &pb.SnapshotRequest{})
	if err != nil {
		return 0, fmt.Errorf("asking for a snapshot: %w", err)
	}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return size, nil
		}
		if err != nil {
			return size, fmt.Errorf("receiving the snapshot: %w", err)
		}
		n, err := to.Write(part.Blob)
		size += int64(n)
		if err != nil {
			return size, err
		}
	}
}
