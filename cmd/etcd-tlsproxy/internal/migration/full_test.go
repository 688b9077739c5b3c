package migration

import (
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// alarm raises or ends the alarm of a v3 store that is full.
func (f *fleet) alarm(action pb.AlarmRequest_AlarmAction) {
	f.t.Helper()
	if _, err := f.client.Maintenance().Alarm(f.t.Context(), &pb.AlarmRequest{Action: action, Alarm: pb.AlarmType_NOSPACE}); err != nil {
		f.t.Fatal(err)
	}
}

// TestASwitchWorksAfterOneThatFilledTheStore has the store be full when the proxies hold their writes.
func TestASwitchWorksAfterOneThatFilledTheStore(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.sw.MaxHold = time.Second
	f.sw.before = func(step string) error {
		if step == "update" {
			f.alarm(pb.AlarmRequest_ACTIVATE)
		}
		return nil
	}
	if _, err := f.sw.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "etcd's v3 store is full") || strings.Contains(err.Error(), "--clean") {
		t.Errorf("got the error %v, want that the store is full, and no hint about a rehearsal", err)
	}
	f.admitted(f.proxies[0]).Done()
	f.alarm(pb.AlarmRequest_DEACTIVATE)
	f.sw.before, f.sw.MaxHold = nil, 10*time.Second
	if _, err := f.sw.Run(t.Context()); err != nil {
		t.Errorf("after the store has room again: %v", err)
	}
}
