package presence

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

func TestALeaseIsRenewedUntilItHasExpired(t *testing.T) {
	t.Parallel()
	p := begin(t)
	lease := p.grant(60)
	if left, err := renewOnce(testContext(t), p.Client, lease); left != 60 || err != nil {
		t.Errorf("got %d s and the error %v, want 60 s", left, err)
	}
	renewed := make(chan error, 1)
	go func() { renewed <- renewLease(testContext(t), p.Client, lease, 40*time.Millisecond) }()
	p.revokeLease(lease)
	if err := <-renewed; err == nil || err.Error() != "the lease has expired" {
		t.Errorf("got the error %v, want that the lease has expired", err)
	}
}

func TestRenewingEndsWithItsCause(t *testing.T) {
	t.Parallel()
	p := begin(t)
	cause, lease := errors.New("the test ends"), p.grant(60)
	ctx, cancel := context.WithCancelCause(t.Context())
	renewed := make(chan error, 1)
	go func() { renewed <- renewLease(ctx, p.Client, lease, time.Hour) }()
	cancel(cause)
	if err := <-renewed; !errors.Is(err, cause) {
		t.Errorf("got the error %v, want %v", err, cause)
	}
}

// TestALeaseIsTriedForAsLongAsItLasts cuts the connection, once for less than the time of the lease, and
// then for longer.
func TestALeaseIsTriedForAsLongAsItLasts(t *testing.T) {
	t.Parallel()
	p := begin(t)
	lease := p.grant(60)
	p.etcd.Cut()
	if left, err := renewOnce(testContext(t), p.Client, lease); left != 0 || err == nil || !strings.HasPrefix(err.Error(), "renewing the lease: ") || strings.Contains(err.Error(), "rpc error") {
		t.Errorf("got the error %v, want one without the words of gRPC", err)
	}
	renewed := make(chan error, 1)
	const lasts = 2 * time.Second
	began := time.Now()
	go func() { renewed <- renewLease(testContext(t), p.Client, lease, lasts) }()
	select {
	case err := <-renewed:
		if passed := time.Since(began); passed < lasts || err == nil || !strings.HasPrefix(err.Error(), "renewing the lease: ") {
			t.Errorf("got the error %v after %s, want the last one after %s", err, passed, lasts)
		}
	case <-testContext(t).Done():
		t.Fatal("the lease is still renewed after 30 s")
	}
}

// TestALeaseIsRenewedOrTheErrorIsTold cuts the connection ever later in the answer.
func TestALeaseIsRenewedOrTheErrorIsTold(t *testing.T) {
	t.Parallel()
	p := begin(t)
	lease := p.grant(60)
	failures := 0
	for bytes := 0; ; bytes += 8 {
		p.etcd.CutAfter(proxytest.FromEtcd, bytes)
		other := at(t, p.etcd.URL())
		left, err := renewOnce(testContext(t), other.Client, lease)
		other.Client.Close()
		p.etcd.Mend()
		if err == nil {
			if left != 60 {
				t.Errorf("after %d bytes: got %d s, want 60", bytes, left)
			}
			break
		}
		failures++
		if left != 0 || !strings.HasPrefix(err.Error(), "renewing the lease: ") || strings.Contains(err.Error(), "rpc error") {
			t.Errorf("after %d bytes: got %d s and the error %v, want one without the words of gRPC", bytes, left, err)
		}
	}
	if failures < 5 {
		t.Errorf("%d attempts failed, want more for a test", failures)
	}
}

// TestALeaseThatIsRenewedOutlivesOneThatIsNot grants the one that is renewed first, and then cuts the
// connection.
func TestALeaseThatIsRenewedOutlivesOneThatIsNot(t *testing.T) {
	t.Parallel()
	p := begin(t)
	const lasts = 2 * time.Second
	lease := p.grant(2)
	p.put("renewed", "1", lease)
	renewed := make(chan error, 1)
	go func() { renewed <- renewLease(testContext(t), p.Client, lease, lasts) }()
	p.put("other", "1", p.grant(2))
	eventually(t, "the other lease has expired", func() bool { return p.get([]byte("other")) == nil })
	if p.get([]byte("renewed")) == nil {
		t.Error("the lease that is renewed has expired")
	}
	began := time.Now()
	p.etcd.Cut()
	if err := <-renewed; err == nil || time.Since(began) < lasts/2 {
		t.Errorf("got the error %v after %s, want that the time counts from the last renewal", err, time.Since(began))
	}
}
