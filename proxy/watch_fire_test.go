package proxy

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// seen is what one watcher asked for and got.
type seen struct {
	*shadow
	since         uint64 // waitIndex
	before, after uint64 // etcd's index before the request, and after the head came
	index         uint64 // of the head
	body          string
}

// check compares with what etcd told the shadow, and all shadows together.
func (o *seen) check(all map[uint64]string) error {
	from := o.since
	if o.index < o.before || o.index > o.after {
		return fmt.Errorf("the head tells index %d, and etcd's went from %d to %d", o.index, o.before, o.after)
	}
	if from == 0 {
		from = o.index + 1
	}
	got, err := eventIndex(o.body)
	if err != nil {
		return err
	}
	if got < from {
		return fmt.Errorf("event %d is from before index %d", got, from)
	}
	for missed := range o.live {
		if from <= missed && missed < got {
			return fmt.Errorf("event %d was missed: it got %d", missed, got)
		}
	}
	body := withoutTTL.ReplaceAllString(o.body, "")
	switch {
	case body == o.live[got]:
		return nil
	case o.since == 0 && !o.gap(0, got):
		// Between two questions of a hub its event comes from the history, which has
		// the end of what is above although the key did not exist. A client reads again.
		if body == all[got] && o.endsAbove(body) {
			return nil
		}
	case body == o.late[got], body == all[got] && o.onlyInHistory(body):
		return nil
	}
	return fmt.Errorf("etcd sent %q live and %q late", o.live[got], o.late[got])
}

// fire is a trial: writers, watchers and shadows.
type fire struct {
	t       *testing.T
	f       *front
	etcd    string // its URL
	shadows []*shadow
	stop    context.Context
	dies    atomic.Bool // etcd, meanwhile

	mu       sync.Mutex
	observed []seen
	broken   int // watches that ended without an event
	cleared  int // refused, because etcd does not remember so much
}

func (x *fire) index() (uint64, bool) {
	resp, err := http.Head(x.etcd + "/v2/keys/")
	if err != nil {
		return 0, false
	}
	resp.Body.Close()
	index, err := strconv.ParseUint(resp.Header.Get("X-Etcd-Index"), 10, 64)
	return index, err == nil
}

// write makes random changes, some hundreds a second with several of them.
func (x *fire) write(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	pace := time.NewTicker(6 * time.Millisecond)
	defer pace.Stop()
	send := func(method, key, query string, form ...string) {
		body := url.Values{}
		for i := 0; i < len(form); i += 2 {
			body.Set(form[i], form[i+1])
		}
		req, err := http.NewRequest(method, x.etcd+"/v2/keys"+key+query, strings.NewReader(body.Encode()))
		if err != nil {
			x.t.Error(err)
			return
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
	for n := 0; x.stop.Err() == nil; n++ {
		<-pace.C
		value := fmt.Sprintf("%d-%d", seed, n)
		switch random.IntN(16) {
		case 0:
			send("DELETE", "/w/d/k", "")
		case 1:
			send("DELETE", "/w/d", "?recursive=true") // the watched directory
		case 2:
			if random.IntN(4) == 0 {
				send("DELETE", "/w", "?recursive=true") // its parent
			}
		case 3:
			send("PUT", "/w/d/k", "", "value", value, "prevValue", fmt.Sprintf("%d-%d", seed, n-1))
		case 4:
			send("PUT", "/w/d/ttl"+strconv.Itoa(n%5), "", "value", value, "ttl", "1")
		case 5:
			send("PUT", "/w/d/sub", "?dir=true", "ttl", "1")
		case 6:
			send("PUT", "/w/d/sub", "", "value", value) // a file in the directory's place
			send("PUT", "/w/d/sub", "?dir=true")        // and a directory in the file's
		case 7:
			send("POST", "/w/q", "", "value", value)
		case 8:
			send("PUT", "/w/d/ttl1", "", "refresh", "true", "prevExist", "true", "ttl", "2")
		case 9:
			send("PUT", "/w/d/_hidden", "", "value", value)
		case 10, 11:
			send("PUT", "/w/d/sub/deep/x", "", "value", value)
		default:
			send("PUT", "/w/d/k", "", "value", value)
		}
	}
}

// watch is one client that watches again and again, in all the ways there are.
func (x *fire) watch(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 2))
	client := x.f.client([]string{"h1", "h1", "h1", "h2"}[random.IntN(4)])
	last := make([]uint64, len(x.shadows)) // what this client has heard of
	for x.stop.Err() == nil {
		which := random.IntN(len(x.shadows))
		o := seen{shadow: x.shadows[which]}
		switch random.IntN(8) {
		case 0, 1, 2:
			if last[which] > 0 {
				o.since = last[which] + 1 // as clients do that follow
			}
		case 3:
			o.since = max(last[which], 41) - 40
		case 4:
			o.since = 1 + uint64(random.IntN(3)) // not remembered any more, sooner or later
		case 5:
			o.since = last[which] + 5
		}
		var ok bool
		if o.before, ok = x.index(); !ok {
			continue
		}
		if x.ask(client, &o, random) {
			if index, err := eventIndex(o.body); err == nil {
				last[which] = index
			}
			x.mu.Lock()
			x.observed = append(x.observed, o)
			x.mu.Unlock()
		}
	}
}

// ask makes one watch and reports whether it was answered with an event.
func (x *fire) ask(client *http.Client, o *seen, random *rand.Rand) bool {
	ctx := x.stop
	if random.IntN(5) == 0 { // one that vanishes
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(20))*time.Millisecond)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, "GET", x.f.url()+o.query(o.since), nil)
	if err != nil {
		x.t.Error(err)
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var known bool
	if o.after, known = x.index(); !known {
		return false
	}
	o.index, err = strconv.ParseUint(resp.Header.Get("X-Etcd-Index"), 10, 64)
	if random.IntN(6) == 0 {
		time.Sleep(time.Duration(random.IntN(5)) * time.Millisecond) // a slow one
	}
	body, readErr := io.ReadAll(resp.Body)
	o.body = string(body)
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case readErr != nil:
		if ctx.Err() == nil {
			x.broken++
		}
		return false
	case resp.StatusCode == 400 && strings.Contains(o.body, `"errorCode":401`) && o.since > 0 && o.since+900 < o.after:
		x.cleared++
		return false
	case resp.StatusCode >= 500 && x.dies.Load():
		return false
	case resp.StatusCode != 200 || err != nil || o.body == "":
		x.t.Errorf("%s since %d: %d %q", o.key, o.since, resp.StatusCode, o.body)
		return false
	}
	return true
}

// TestWatchesAreExactUnderFire compares what watchers get through the proxy with
// what etcd tells a shadow. ETCD_TLSPROXY_TEST_WATCH is how long it takes, and
// ETCD_TLSPROXY_TEST_SEED repeats the choices of a run.
func TestWatchesAreExactUnderFire(t *testing.T) {
	length := 3 * time.Second
	if text := os.Getenv("ETCD_TLSPROXY_TEST_WATCH"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	seed := rand.Uint64()
	if text := os.Getenv("ETCD_TLSPROXY_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("ETCD_TLSPROXY_TEST_SEED=%d", seed)
	withEtcd(t, func(t *testing.T, f *front, e etcd) {
		x := &fire{t: t, f: f, etcd: e.URL()}
		x.run(seed, length, e)
	})
}

func (x *fire) run(seed uint64, length time.Duration, e etcd) {
	t := x.t
	put(t, x.f, "/w/d/k", "0")
	var shadows, watching, started sync.WaitGroup
	shadowing, endShadows := context.WithCancel(context.Background())
	defer endShadows()
	for _, w := range []watched{{"/w", true}, {"/w/d", true}, {"/w/d", false}, {"/w/d/k", false}, {"/w/q", true}, {"/w/d/sub/deep", true}, {"/w/d/sub", false}, {"/w/d/_hidden", false}} {
		s := newShadow(x.etcd, w)
		x.shadows = append(x.shadows, s)
		started.Add(1)
		shadows.Go(func() { s.run(shadowing, t, &started) })
	}
	started.Wait()
	var cancel context.CancelFunc
	x.stop, cancel = context.WithTimeout(context.Background(), length)
	defer cancel()
	for i := range uint64(3) {
		watching.Go(func() { x.write(seed + i) })
	}
	for i := range uint64(24) {
		watching.Go(func() { x.watch(seed + 100 + i) })
	}
	if process, ok := e.(*proxytest.Process); ok {
		x.dies.Store(true)
		for range 2 {
			select {
			case <-x.stop.Done():
			case <-time.After(length / 3):
			}
			process.Kill()
			if err := process.Start(); err != nil {
				t.Error(err)
			}
		}
	}
	watching.Wait()
	// A last event, of all that is watched, shows that the shadows have seen all.
	put(t, x.f, "/w/any", "1")
	x.remove()
	for _, key := range []string{"/w/d/k", "/w/d/_hidden", "/w/d/sub/deep/x", "/w/q/last"} {
		put(t, x.f, key, "1")
	}
	last := x.remove()
	for _, s := range x.shadows {
		eventually(t, fmt.Sprintf("the shadow of %v has seen event %d", s.watched, last), func() bool { return s.reached(last) })
	}
	endShadows()
	shadows.Wait()
	x.report()
}

// remove deletes all that is watched, and returns the event's index.
func (x *fire) remove() uint64 {
	client := x.f.client("h1")
	defer client.CloseIdleConnections()
	_, body, _ := do(x.t, client, "DELETE", x.f.url()+"/v2/keys/w?recursive=true", "root", "")
	index, err := eventIndex(body)
	if err != nil {
		x.t.Fatal(err)
	}
	return index
}

func (x *fire) report() {
	for _, s := range x.shadows {
		s.check(x.t)
	}
	all := make(map[uint64]string)
	for _, s := range x.shadows {
		maps.Copy(all, s.late)
		maps.Copy(all, s.live)
	}
	wrong := 0
	for i := range x.observed {
		o := &x.observed[i]
		if err := o.check(all); err != nil {
			if wrong++; wrong <= 10 {
				x.t.Errorf("%v since %d: %v", o.watched, o.since, err)
			}
		}
	}
	events := 0
	for _, s := range x.shadows {
		events += len(s.live)
	}
	x.t.Logf("%d events of %d places; %d watches answered, %d broken off, %d too old; %d wrong; %d ring misses",
		events, len(x.shadows), len(x.observed), x.broken, x.cleared, wrong, x.f.metrics.Watches.Misses.Load())
	enough := 100
	if proxytest.UnderRaceDetector() {
		enough = 20 // all takes several times as long there
	}
	if len(x.observed) < enough {
		x.t.Error("hardly anything was observed")
	}
}
