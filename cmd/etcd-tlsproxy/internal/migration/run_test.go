package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// fill writes so many keys that they are imported in several transactions.
func (f *fixture) fill() {
	f.t.Helper()
	for i := range 3 * maxOperations {
		f.write(fmt.Sprint("/key", i), value("1"))
	}
}

func TestARehearsalThatWasInterruptedIsRunAgain(t *testing.T) {
	t.Parallel()
	f := start(t, proxytest.Options{})
	f.fill()
	c := f.take()
	ctx, cancel := context.WithCancel(t.Context())
	f.imported = cancel
	if _, err := f.Run(ctx, c); !errors.Is(err, context.Canceled) {
		t.Fatalf("got the error %v, want that it was interrupted", err)
	}
	if earlier, err := f.Earlier(t.Context()); err != nil || !earlier {
		t.Errorf("after the interruption: got an earlier rehearsal %t (%v), want one", earlier, err)
	}
	f.imported = func() {}
	if result, err := f.Run(t.Context(), c); err != nil || result.Imports.Count > 0 {
		t.Errorf("the second run: got %+v and the error %v, want an equal copy", result, err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	f.imported = cancel
	if _, err := f.Clean(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cleaning: got the error %v, want that it was interrupted", err)
	}
	f.imported = func() {}
	if _, err := f.Clean(t.Context()); err != nil {
		t.Error(err)
	}
	if keys := f.keys(); len(keys) > 0 {
		t.Errorf("the v3 store still has %q, want nothing", keys)
	}
}

func TestTwoRehearsalsExcludeEachOther(t *testing.T) {
	t.Parallel()
	f := start(t, proxytest.Options{})
	f.fill()
	c := f.take()
	second := *f.Rehearsal
	f.imported = func() {
		f.imported = func() {}
		if _, err := second.Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "another command works") {
			t.Errorf("the second rehearsal: got the error %v, want that another command works", err)
		}
		if _, err := second.Clean(t.Context()); err == nil || !strings.Contains(err.Error(), "another command works") {
			t.Errorf("cleaning: got the error %v, want that a rehearsal is running", err)
		}
	}
	if result, err := f.Run(t.Context(), c); err != nil || result.Imports.Count > 0 {
		t.Errorf("the first rehearsal: got %+v and the error %v, want an equal copy", result, err)
	}
}

// TestARehearsalWithoutItsLockWritesNothing takes the lock away, as an etcd that was stopped for long.
func TestARehearsalWithoutItsLockWritesNothing(t *testing.T) {
	t.Parallel()
	f := start(t, proxytest.Options{})
	f.write("/a", value("1"))
	c := f.take()
	s, err := f.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.client.Close()
	_, release, err := s.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release(false)
	f.put(string(s.keys.Lock()))
	if err := s.write(t.Context(), c, func(int64) {}); !errors.Is(err, errLost) {
		t.Errorf("got the error %v, want that the lock was lost", err)
	}
	if keys := f.keys(); len(keys) > 0 {
		t.Errorf("the v3 store has %q, want nothing", keys)
	}
}

// TestCleaningKeepsKeysOfOtherPrograms puts keys among those of the copy.
func TestCleaningKeepsKeysOfOtherPrograms(t *testing.T) {
	t.Parallel()
	f := start(t, proxytest.Options{})
	f.write("/a/b", value("1"))
	if _, err := f.Run(t.Context(), f.take()); err != nil {
		t.Fatal(err)
	}
	f.put("rehearsal/a/c", "theirs")
	f.put("rehearsal.v2/q/a", `{}`) // as in a tree that was served
	f.put("zzz", "theirs")
	if n, err := f.Clean(t.Context()); err != nil || n != 2 {
		t.Errorf("got %d nodes and the error %v, want 2", n, err)
	}
	if keys := f.keys(); !slices.Equal(keys, []string{"rehearsal/a/c", "zzz"}) {
		t.Errorf("the v3 store has %q, want the keys of other programs", keys)
	}
}

// TestAFullStoreIsReportedAndCleaned has a store that another program fills.
func TestAFullStoreIsReportedAndCleaned(t *testing.T) {
	t.Parallel()
	const quota = 4 << 20
	f := start(t, proxytest.Options{Quota: quota})
	f.write("/a", value("1"))
	c := f.take()
	if _, err := f.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		size, err := f.client.Size(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if size.File > quota { // etcd measures the file when it has written to it
			break
		}
		if n < 4 { // the fourth makes it too large, if not the third, or would and is refused
			_, err := f.client.Put(t.Context(), &pb.PutRequest{Key: fmt.Append(nil, "other/", n), Value: []byte(strings.Repeat("x", 1<<20))})
			if rpc.NoSpace(err) {
				break
			}
		}
	}
	for range 2 { // without the alarm, and with it
		if _, err := f.Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "etcd's v3 store is full") || !strings.Contains(err.Error(), "--clean") {
			t.Errorf("got the error %v, want that the store is full, and what to do", err)
		}
	}
	if n, err := f.Clean(t.Context()); err != nil || n != 1 {
		t.Errorf("cleaning a full store: got %d nodes and the error %v, want one", n, err)
	}
	for _, key := range f.keys() {
		if !strings.HasPrefix(key, "other/") {
			t.Errorf("the v3 store has %q, want only the keys of another program", key)
		}
	}
}

func TestACopyThatDoesNotFitIsNotBegun(t *testing.T) {
	t.Parallel()
	f := start(t, proxytest.Options{})
	f.write("/a", value(strings.Repeat("x", 100<<10)))
	f.Store.QuotaBytes = 150 << 10
	if _, err := f.Run(t.Context(), f.take()); err == nil || !strings.Contains(err.Error(), "its quota is 153600") {
		t.Errorf("got the error %v, want that the quota is too small", err)
	}
	if keys := f.keys(); len(keys) > 0 {
		t.Errorf("the v3 store has %q, want nothing", keys)
	}
}

func TestAValueThatIsTooLargeIsNamed(t *testing.T) {
	t.Parallel()
	f := start(t, proxytest.Options{})
	f.write("/small", value("1"))
	f.write("/large", value(strings.Repeat("x", 2<<20)))
	if _, err := f.Run(t.Context(), f.take()); err == nil || !strings.Contains(err.Error(), "the value of /large has 2097152 bytes") {
		t.Errorf("got the error %v, want the key of the large value", err)
	}
}
