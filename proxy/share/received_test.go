package share

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/upstream"
)

// received returns the text of an event of which the buffer is counted with so many bytes.
func received(ts *texts, body string, counted int64) (*receiver, *text, error) {
	r := &receiver{texts: ts, buf: append(make([]byte, headRoom, 4*len(body)+1000), body...), counted: counted}
	ts.held.Add(counted)
	t, err := r.complete()
	return r, t, err
}

func TestTheBytesOfAnEventAreCountedOnceAndGivenBack(t *testing.T) {
	body := `{"node":{"key":"/a","modifiedIndex":7}}` + strings.Repeat(" ", 100) + "\n"
	coded := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	for _, counted := range []int64{0, 5000} {
		ts := newTexts(5000)
		r, text, err := received(ts, body, counted)
		if err != nil {
			t.Fatal(err)
		}
		want := counted
		if counted == 0 {
			want = int64(cap(text.chunked))
		}
		if string(text.body) != body || string(text.chunked) != coded || cap(text.body) != len(body) || text.index != 7 || text.key != "/a" || text.size != want || r.counted != 0 {
			t.Errorf("an event whose buffer is counted with %d bytes: got %+v, and %d bytes counted besides; want %d for %q", counted, text, r.counted, want, coded)
		}
		if small := cap(text.chunked) < 2*len(coded); small != (counted == 0) {
			t.Errorf("an event whose buffer is counted with %d bytes: got its text in %d bytes, want memory of its size: %t", counted, cap(text.chunked), counted == 0)
		}
		r.finish()
		if ts.held.Load() != want || ts.byIndex[7] != text {
			t.Errorf("an event that is held: got %d bytes counted, want %d", ts.held.Load(), want)
		}
		// An equal one costs nothing, and another one with its index is not equal.
		if _, equal, err := received(ts, body, 0); err != nil || equal != text || text.users != 2 || ts.held.Load() != want {
			t.Errorf("an equal event: got %+v, the error %v and %d bytes counted, want the same text and %d", equal, err, ts.held.Load(), want)
		}
		if counted == 0 {
			_, other, err := received(ts, body+"\n", 0)
			if err != nil || other == text || ts.byIndex[7] != text {
				t.Errorf("another event with the same index: got %+v and the error %v, want another text", other, err)
			}
			ts.release(other)
		}
		ts.release(text)
		ts.release(text)
		if ts.held.Load() != 0 || len(ts.byIndex) != 0 {
			t.Errorf("in the end: got %d bytes and %d texts, want none", ts.held.Load(), len(ts.byIndex))
		}
	}
	ts := newTexts(5000)
	if _, text, err := received(ts, "", 0); text != nil || err != nil {
		t.Errorf("an answer without an event: got %+v and the error %v, want neither", text, err)
	}
}

func TestABufferIsCountedBesideTheOneBeforeUntilItIsCopied(t *testing.T) {
	ts := newTexts(200 << 10)
	r := &receiver{texts: ts, places: ts.large, wants: func() []*account.Account { return nil }, buf: make([]byte, 10, 512)}
	var got []string
	for range 9 {
		err := r.grow(t.Context())
		got = append(got, fmt.Sprintf("%d/%d/%d %t", cap(r.buf), r.counted, ts.held.Load(), r.isLarge))
		if err != nil {
			if !errors.Is(err, errNoRoom) {
				t.Error(err)
			}
			break
		}
	}
	want := []string{"1024/0/0 false", "2048/0/0 false", "4096/0/0 false", "8192/8192/8192 false", "16384/16384/16384 false", "32768/32768/32768 false", "65536/65536/65536 false", "98304/98304/98304 true", "98304/98304/98304 true"}
	if !slices.Equal(got, want) {
		t.Errorf("the capacity of the buffer, what is counted of it and in all, and whether it is large: got %q, want %q", got, want)
	}
	if !r.large.TryAcquire(maxLarge-1) || r.large.TryAcquire(1) {
		t.Error("places of large events: want all but one")
	}
	r.large.Release(maxLarge - 1)
	r.finish()
	if ts.held.Load() != 0 || !r.large.TryAcquire(maxLarge) {
		t.Errorf("after the event: got %d bytes counted, want none and no place taken", ts.held.Load())
	}
}

func TestALargeEventThatIsNotItsTurnEndsWithItsHub(t *testing.T) {
	ts := newTexts(1 << 20)
	if !ts.large.TryAcquire(2) {
		t.Fatal("two large events at the same time: got no place, want two")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := &receiver{texts: ts, places: ts.large, buf: make([]byte, 10, largeText)}
	var failed *upstream.Error
	if err := r.grow(ctx); !errors.As(err, &failed) || failed.Kind != upstream.Canceled || r.isLarge || ts.held.Load() != 0 {
		t.Errorf("a third large event whose hub ends: got %v and a place %t, want the kind %v and none", err, r.isLarge, upstream.Canceled)
	}
	r.finish()
	ts.large.Release(2)
	if maxEventBytes != 128<<20 {
		t.Errorf("the largest event: got %d bytes, want 128 MiB", maxEventBytes)
	}
}
