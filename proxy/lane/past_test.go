package lane

import (
	"io"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/share"
)

// TestOldEventsOfWatchesThatAreNotSharedAreAskedForAFewAtATime has an etcd that has the event of
// every watch with a waitIndex.
func TestOldEventsOfWatchesThatAreNotSharedAreAskedForAFewAtATime(t *testing.T) {
	const watches = 5
	for what, c := range map[string]struct {
		query string
		size  int64 // of the event before, if there was one
		most  int64 // at the same time; 0 if nobody waits
	}{
		"unknown events, in a way that nobody shares":   {"&stream=true&waitIndex=1", 0, 1},
		"small events, in a way that nobody shares":     {"&stream=true&waitIndex=1", 100, 4},
		"large events, in a way that nobody shares":     {"&stream=true&wait%49ndex=1", 40 * bulk.Unit, 2},
		"large events, where nothing is shared":         {"&waitIndex=1", 40 * bulk.Unit, 2},
		"unknown events, where nothing is shared":       {"&waitIndex=1", 0, 0},
		"new events of a key of large ones, not shared": {"&stream=true", 40 * bulk.Unit, 0},
		"new events of a key of which nothing is known": {"&stream=true", 0, 0},
	} {
		t.Run(what, func(t *testing.T) {
			goOn := make(chan struct{})
			var working atomic.Int64
			r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
				working.Add(1)
				<-goOn
				_, _ = io.WriteString(w, "event\n")
				_ = http.NewResponseController(w).Flush()
				<-q.Context().Done()
			})
			release := sync.OnceFunc(func() { close(goOn) })
			t.Cleanup(release)
			pool := func(name string, total int64) *account.Pool {
				return r.Accounts.NewPool(account.Options{Name: name, Total: total})
			}
			r.Bulk = bulk.NewLimits(pool("bytes", 1000), pool("trees", 4), pool("watched", 1000))
			client := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
			t.Cleanup(client.Close)
			if c.size > 0 {
				known := r.Bulk.Past(client, "/v2/keys/a", false)
				known.Began(c.size, true)
			}
			all := make(chan End, watches)
			for range watches {
				go func() {
					call := r.call(t, "GET", "/v2/keys/a?wait=true"+c.query, "")
					answer, end := r.Alone(t.Context(), call, &Watch{Op: call.Op, account: client})
					if end == (End{}) {
						_, _ = answer.Read(make([]byte, 100))
						answer.Close()
					}
					all <- end
				}()
			}
			if c.most > 0 {
				for limit := time.Now().Add(10 * time.Second); int64(r.Bulk.Trees.Status().Waiting) != watches-c.most || working.Load() != c.most; time.Sleep(time.Millisecond) { //nolint:forbidigo // a pool signals nothing
					if time.Now().After(limit) {
						t.Fatalf("got %d requests at etcd and %d that wait, want %d at etcd", working.Load(), r.Bulk.Trees.Status().Waiting, c.most)
					}
				}
			}
			release()
			for range watches {
				if end := <-all; end != (End{}) {
					t.Errorf("a watch: got %+v, want its event", end)
				}
			}
			if trees, bytes, watched := r.Bulk.Trees.Used(), r.Bulk.Bytes.Used(), r.Bulk.Watched.Used(); trees+bytes+watched != 0 {
				t.Errorf("in the end: got %d places and %d and %d units in use, want none", trees, bytes, watched)
			}
		})
	}
}

func TestOnlyAnOldEventThatIsLargeHasItsTurnForLong(t *testing.T) {
	r := newClaimRig(t, nil)
	client := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	defer client.Close()
	for size, want := range map[int64]time.Duration{100: share.PastPatience, 4 << 20: share.LongPatience} {
		known := r.Bulk.Past(client, "/v2/keys/a", false)
		known.Began(size, true)
		if past := r.Bulk.Past(client, "/v2/keys/a", false); pastPatience(&past) != want {
			t.Errorf("an event behind one of %d bytes: got %v, want %v", size, pastPatience(&past), want)
		}
	}
}
