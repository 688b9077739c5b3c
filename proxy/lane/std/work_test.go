package std

import (
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

func TestTheClassOfAConnectionIsThatOfItsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const moment, long = slowAfter + 1, lane.StalledAfter + 1
		for what, test := range map[string]struct {
			phases []phase
			pause  time.Duration // since the client sent or accepted something
			stuck  bool
			want   account.Class
			some   bool
		}{
			"nothing":                        {want: account.Silent},
			"work":                           {phases: []phase{working}, pause: long, want: account.Busy, some: true},
			"a write":                        {phases: []phase{writing}, pause: long, stuck: true, want: account.Busy, some: true},
			"a write beside an answer":       {phases: []phase{writing, sending}, pause: long, stuck: true, want: account.Busy, some: true},
			"a body":                         {phases: []phase{receiving}, pause: moment, want: account.Busy, some: true},
			"a body that stopped":            {phases: []phase{receiving}, pause: long, want: account.Stalled, some: true},
			"an answer":                      {phases: []phase{sending}, pause: moment, want: account.Busy, some: true},
			"an answer that stopped":         {phases: []phase{sending}, pause: long, want: account.Stalled, some: true},
			"an answer nobody takes":         {phases: []phase{sending, working}, stuck: true, want: account.Stalled, some: true},
			"work nobody waits for":          {phases: []phase{working}, stuck: true, want: account.Busy, some: true},
			"work beside a stopped answer":   {phases: []phase{working, sending}, pause: long, want: account.Busy, some: true},
			"a turn":                         {phases: []phase{queued}, want: account.Busy, some: true},
			"a turn that takes a moment":     {phases: []phase{queued}, pause: moment, want: account.Slow, some: true},
			"a turn beside a watch":          {phases: []phase{queued, watching}, pause: moment, want: account.Slow, some: true},
			"a turn beside a stopped answer": {phases: []phase{queued, sending}, pause: long, want: account.Stalled, some: true},
			"a watch":                        {phases: []phase{watching}, pause: long, want: account.Watching, some: true},
			"a watch and another":            {phases: []phase{watching, watching}, pause: long, want: account.Watching, some: true},
			"a watch beside work":            {phases: []phase{watching, working}, pause: long, want: account.Busy, some: true},
			"a watch beside a stopped body":  {phases: []phase{watching, receiving}, pause: long, want: account.Stalled, some: true},
		} {
			w := &work{stuck: func() bool { return test.stuck }}
			w.progressed()
			tasks := make([]task, len(test.phases))
			for i, p := range test.phases {
				tasks[i].work = w
				tasks[i].enter(p)
			}
			time.Sleep(test.pause) //nolint:forbidigo // of synctest
			if class, some := w.class(false); class != test.want || some != test.some {
				t.Errorf("%s: got the class %v and %t, want %v and %t", what, class, some, test.want, test.some)
			}
			for i := range tasks {
				tasks[i].enter(ended)
			}
			if class, some := w.class(false); class != account.Silent || some {
				t.Errorf("%s, when all has ended: got the class %v and %t, want none", what, class, some)
			}
		}
	})
}

func TestTheClassOfAStreamIsThatOfItsRequestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const moment, long = slowAfter + 1, lane.StalledAfter + 1
		for p, want := range map[phase][3]account.Class{ // now, after a moment, and after long
			working:   {account.Busy, account.Busy, account.Busy},
			writing:   {account.Busy, account.Busy, account.Busy},
			queued:    {account.Busy, account.Slow, account.Slow},
			receiving: {account.Busy, account.Slow, account.Stalled},
			sending:   {account.Busy, account.Slow, account.Stalled},
			watching:  {account.Watching, account.Watching, account.Watching},
		} {
			w := &work{}
			one, other := task{work: w}, task{work: w}
			other.enter(sending)
			one.enter(p)
			for i, pause := range []time.Duration{0, moment, long - moment} {
				time.Sleep(pause) //nolint:forbidigo // of synctest
				if got := one.class(); got != want[i] {
					t.Errorf("phase %d: got the class %v, want %v", p, got, want[i])
				}
				other.progressed() // does not count for this one
			}
			one.progressed()
			if got := one.class(); got != want[0] {
				t.Errorf("phase %d after progress: got the class %v, want %v", p, got, want[0])
			}
		}
	})
}

// TestWhatAStreamHoldsIsGivenBackWithIt charges a long head and an answer.
func TestWhatAStreamHoldsIsGivenBackWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := account.NewTable()
		const total = 100 * streamUnits
		pool := table.NewPool(account.Options{Name: "streams", Total: total})
		a := table.Address(seed.Peer().Addr.Addr())
		s := newStreams(pool, a)
		a.Close()
		r := httptest.NewRequest("GET", "/v2/keys/"+strings.Repeat("x", 3000), nil)
		r.Header.Set("X-Pad", strings.Repeat("x", 1000))
		start := func(id uint32) (*request, *gate.Refusal) {
			t.Helper()
			if !s.begin(id, false) {
				t.Fatal("a stream does not fit into an empty pool")
			}
			q := &request{r: r, conn: &connection{http2: &http2Conn{streams: s}}, task: task{work: &work{}}}
			return q, q.startStream()
		}
		units := func(bytes int) int64 { return int64(bytes+account.LeaseUnit-1) / account.LeaseUnit }
		head := units(headBytes(r))
		q, refusal := start(1)
		if used := pool.Used(); refusal != nil || used != streamUnits+head {
			t.Fatalf("a stream with a long head: got the refusal %v and %d units charged, want none and %d", refusal, used, streamUnits+head)
		}
		if !q.charge(t.Context(), 100<<10) || pool.Used() != streamUnits+head+units(100<<10) {
			t.Errorf("an answer of 100 KiB: got %d units charged, want %d", pool.Used(), streamUnits+head+units(100<<10))
		}
		before := pool.Used()
		if q.charge(t.Context(), total*account.LeaseUnit) || pool.Used() != before {
			t.Errorf("an answer for which there is no memory: got %d units charged, want %d as before", pool.Used(), before)
		}
		s.end(1)
		q.endStream()
		if used := pool.Used(); used != 0 {
			t.Fatalf("after the stream: got %d units charged, want none", used)
		}
		long := r
		r = httptest.NewRequest("GET", "/v2/keys/a", nil)
		q, refusal = start(5)
		if refusal != nil || !q.charge(t.Context(), 1) || pool.Used() != streamUnits+1 {
			t.Errorf("a stream and a byte more: got the refusal %v and %d units charged, want none and %d", refusal, pool.Used(), streamUnits+1)
		}
		s.end(5)
		q.endStream()
		if used := pool.Used(); used != 0 {
			t.Errorf("after a stream with one unit more: got %d units charged, want none", used)
		}
		r = long
		// Without memory for its head a stream is refused, and its client has little time for that.
		pool.Resize(streamUnits, 0)
		q, refusal = start(3)
		if refusal != gate.RefuseSpace || !q.refused || pool.Used() != streamUnits {
			t.Errorf("a stream without memory for its head: got the refusal %v and %d units charged, want %v and %d", refusal, pool.Used(), gate.RefuseSpace, streamUnits)
		}
		s.end(3)
		q.endStream()
		s.close()
		if used, left := pool.Used(), table.Len(); used != 0 || left != 0 {
			t.Errorf("after the connection: got %d units charged to %d accounts, want none", used, left)
		}
	})
}

func TestALongHeadCountsSeveralTimes(t *testing.T) {
	for _, test := range []struct {
		target, field int
		want          int
	}{{10, 0, 0}, {smallHead / headCopies, 0, 0}, {smallHead/headCopies + 1, 0, headCopies}, {4000, 0, headCopies*4000 - smallHead}, {4, smallHead, 16 + 1}} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RequestURI = strings.Repeat("/", test.target)
		if test.field > 0 {
			r.Header["X"] = []string{strings.Repeat("x", test.field)}
		}
		if got := headBytes(r); got != test.want {
			t.Errorf("a target of %d bytes and a field of %d: got %d, want %d", test.target, test.field, got, test.want)
		}
	}
}

func TestAQueueThatIsClosedTakesAndGivesNoConnection(t *testing.T) {
	q := newConnQueue()
	one, other := net.Pipe()
	defer one.Close()
	defer other.Close()
	go q.put(one)
	if c, err := q.Accept(); err != nil || c != one {
		t.Errorf("got %v and the error %v, want the connection", c, err)
	}
	for range 2 {
		if err := q.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	}
	if q.put(one) {
		t.Error("a closed queue has taken a connection")
	}
	if c, err := q.Accept(); err != net.ErrClosed { //nolint:errorlint // net/http compares it
		t.Errorf("a closed queue: got %v and the error %v, want %v", c, err, net.ErrClosed)
	}
}

func TestEachByteOfALargeBodyIsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &body{bytes: make([]byte, smallBody), arriving: true, progress: time.Now()}
		time.Sleep(lane.StalledAfter + 1) //nolint:forbidigo // of synctest
		if b.progressed(0); b.Class() != account.Stalled {
			t.Errorf("a body of which nothing more has arrived: got the class %v, want %v", b.Class(), account.Stalled)
		}
		if b.progressed(1); b.Class() != account.Slow {
			t.Errorf("a body of which a byte has arrived: got the class %v, want %v", b.Class(), account.Slow)
		}
	})
}
