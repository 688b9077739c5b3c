package main

import (
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/recovery"
)

func TestAVerifiedBackupIsNotCalledUnverified(t *testing.T) {
	m := &recovery.Manifest{Time: time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC), Keys: &recovery.Keys{Count: 2}, Files: make([]recovery.File, 3)}
	const want = "3 files of 2026-11-24T02:00:00Z, 2 keys; an etcd that was started on a copy has its keys"
	if got := describeVerified(m, false); got != want {
		t.Errorf("a backup that was not verified when it was taken, verified now: got %q, want %q", got, want)
	}
	if got, want := describeKeys(m.Keys), "2 keys, not verified when it was taken"; got != want {
		t.Errorf("the same backup in the list: got %q, want %q", got, want)
	}
}
