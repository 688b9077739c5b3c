package snapshot

import (
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/etcdtool"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// unlimited lets an etcd on a snapshot accept writes however large its file is.
const unlimited = "--quota-backend-bytes=-1"

// makeSpace makes the restored snapshot of a full store one that accepts writes: an alarm is a part of
// the snapshot. It leaves out what was overwritten, and the free space in the file. If the keys alone are more
// than the quota, etcd raises the alarm again.
func makeSpace(ctx context.Context, client *rpc.Client) error {
	ctx, cancel := context.WithTimeout(ctx, etcdtool.Timeout)
	defer cancel()
	raised, err := client.Maintenance().Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_GET, Alarm: pb.AlarmType_NOSPACE})
	if err != nil {
		return fmt.Errorf("reading the alarms of the restored store: %s", rpc.Reason(err))
	}
	if len(raised.Alarms) == 0 {
		return nil
	}
	now, err := client.Range(ctx, &pb.RangeRequest{Key: []byte("x"), CountOnly: true})
	if err == nil {
		// With raised revisions etcd has begun to do so already.
		if _, err = client.Compact(ctx, &pb.CompactionRequest{Revision: now.Header.Revision, Physical: true}); rpc.Compacted(err) {
			err = nil
		}
	}
	if err == nil {
		_, err = client.Maintenance().Defragment(ctx, &pb.DefragmentRequest{})
	}
	for _, alarm := range raised.Alarms {
		if err == nil {
			_, err = client.Maintenance().Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: alarm.MemberID, Alarm: alarm.Alarm})
		}
	}
	if err != nil {
		return errors.New("making space in the restored store: " + rpc.Reason(err))
	}
	return nil
}
