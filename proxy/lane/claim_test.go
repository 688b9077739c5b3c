package lane

import (
	"bytes"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/upstream"
)

// newClaimRig returns a rig with so many places for trees that each answer is charged with its size.
func newClaimRig(t *testing.T, handle http.HandlerFunc) *rig {
	t.Helper()
	r := newRig(t, handle)
	r.snapshot.Reads = nil
	r.Bulk = bulk.NewLimits(r.Accounts.NewPool(account.Options{Name: "bytes", Total: 1000, Queue: 10}), r.Accounts.NewPool(account.Options{Name: "trees", Total: 1000}), nil)
	return r
}

// expected returns the size that a call is charged with before it is sent.
func (r *rig) expected(t *testing.T, a *account.Account, method, target string) int64 {
	t.Helper()
	call, _ := r.charged(t, a, method, target, "root")
	call.account = a
	claim := r.newClaim(call)
	return claim.Size()
}

func TestACallIsChargedWithWhatItsKeyShowedBefore(t *testing.T) {
	const size = 3 << 20
	r := newClaimRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte("x"), size)) }) // in one chunk, like etcd
	client := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	defer client.Close()
	call, _ := r.charged(t, client, "GET", "/v2/keys/a", "")
	a := r.mustDo(t, call)
	a.Close()
	for target, want := range map[string]int64{"GET /v2/keys/a": size, "HEAD /v2/keys/a": size, "GET /v2/keys/b": 0, "GET /v2/keys/a?recursive=true": 0,
		"DELETE /v2/keys/a": 2 * size, "GET /v2/stats/self": 0} {
		method, path, _ := strings.Cut(target, " ")
		if got := r.expected(t, client, method, path); got != want {
			t.Errorf("%s is charged with %d bytes, want %d", target, got, want)
		}
	}
	if client.Held(r.Bulk.Bytes) != 0 {
		t.Errorf("after the answer: %d units are held, want none", client.Held(r.Bulk.Bytes))
	}
}

func TestAnAnswerWithoutABodyShowsNoSize(t *testing.T) {
	r := newClaimRig(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "3000000") })
	client := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	defer client.Close()
	call, _ := r.charged(t, client, "HEAD", "/v2/keys/a", "")
	a := r.mustDo(t, call)
	a.Close()
	if got := r.expected(t, client, "GET", "/v2/keys/a"); got != 0 {
		t.Errorf("after a HEAD a read is charged with %d bytes, want none", got)
	}
}

// TestATreeGivesItsPlaceBackWhenItsAnswerBegins has an etcd that sends the beginning of an answer and then
// waits.
func TestATreeGivesItsPlaceBackWhenItsAnswerBegins(t *testing.T) {
	release := make(chan struct{})
	r := newClaimRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = io.WriteString(w, strings.Repeat("x", 1000))
		w.(http.Flusher).Flush()
		<-release
		_, _ = io.WriteString(w, strings.Repeat("x", 999_000))
	})
	client := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	defer client.Close()
	call, _ := r.charged(t, client, "GET", "/v2/keys/a?recursive=true", "")
	began, done := make(chan struct{}), make(chan Answer)
	go func() {
		a, refusal, err := r.Do(t.Context(), call, func() []byte { close(began); return make([]byte, 100) })
		if refusal != nil || err != nil {
			t.Errorf("got the refusal %v and the error %v, want an answer", refusal, err)
		}
		done <- a
	}()
	<-began
	for limit := time.Now().Add(10 * time.Second); r.Bulk.Trees.Used() != 0; time.Sleep(time.Millisecond) { //nolint:forbidigo // a pool signals nothing
		if time.Now().After(limit) {
			t.Fatalf("%d places are held while the answer arrives, want none", r.Bulk.Trees.Used())
		}
	}
	close(release)
	a := <-done
	if got := len(text(t, &a)); got != 1_000_000 {
		t.Errorf("got %d bytes, want 1000000", got)
	}
	a.Close()
	r.quiet(t)
}

// TestAnAnswerOfUnknownLengthIsChargedWithWhatItHasShown streams an answer in small pieces.
func TestAnAnswerOfUnknownLengthIsChargedWithWhatItHasShown(t *testing.T) {
	r := newClaimRig(t, func(w http.ResponseWriter, _ *http.Request) {
		for range len(large)/1000 + 1 {
			_, _ = io.WriteString(w, strings.Repeat("x", 1000))
		}
	})
	client := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	defer client.Close()
	call, _ := r.charged(t, client, "GET", "/v2/keys/a", "")
	a := r.mustDo(t, call)
	if least := int64(upstream.MaxBuffered / bulk.Unit); a.large == nil || a.large.units < least || client.Held(r.Bulk.Bytes) != a.large.units {
		t.Errorf("%d units are held, want at least %d", client.Held(r.Bulk.Bytes), least)
	}
	a.Close()
	if got := r.expected(t, client, "GET", "/v2/keys/a"); got < upstream.MaxBuffered {
		t.Errorf("the next read is charged with %d bytes, want at least %d", got, upstream.MaxBuffered)
	}
	r.quiet(t)
}
