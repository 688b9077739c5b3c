package std

import (
	"crypto/tls"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
)

func TestAClientThatStopsInABodyIsStalledWhateverBecomesOfTheBody(t *testing.T) {
	for what, line := range map[string]string{
		"of a write": "PUT /v2/keys/eventlogging/w", "of a refused write": "PUT /v2/keys/conftool/x", "of a refused target": "PUT /v2/keys/a;b?c;d", "of a read": "GET /v2/keys/a",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(*rig) {})
			client, err := proxytest.DialRaw(r.ln.Addr().String(), &tls.Config{RootCAs: r.pki.Pool(), ServerName: "localhost"})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			served := <-r.opened
			if err := client.Send(line + " HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nval"); err != nil {
				t.Fatal(err)
			}
			for limit := time.Now().Add(time.Minute); served.Class() != account.Stalled; time.Sleep(time.Millisecond) { //nolint:forbidigo // nothing signals the class
				if time.Now().After(limit) {
					t.Fatalf("after a minute: got class %d, want %d (stalled)", served.Class(), account.Stalled)
				}
			}
		})
	}
}

// TestARequestThatWaitsForItsTurnIsSlow is about the connection and the stream.
func TestARequestThatWaitsForItsTurnIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{}
		q := &request{task: task{work: w}}
		q.task.enter(writing)
		expect := func(what string, want account.Class) {
			t.Helper()
			if class, _ := w.class(false); class != want || q.task.class() != want {
				t.Errorf("%s: got the class %d of the connection and %d of the stream, want %d", what, class, q.task.class(), want)
			}
		}
		ended := false
		q.Queued(func() { ended = true })
		expect("a write that has just begun to wait", account.Busy)
		time.Sleep(slowAfter + 1) //nolint:forbidigo // of synctest
		expect("a write that waits", account.Slow)
		(*q.leave.Load())()
		if !ended {
			t.Error("taking it back: the wait goes on, want its end")
		}
		q.Queued(nil)
		time.Sleep(time.Minute) //nolint:forbidigo // of synctest
		expect("a write whose turn has come", account.Busy)
		if q.leave.Load() != nil {
			t.Error("a write whose turn has come: it can be taken back")
		}
	})
}

func TestAHeadIsStalledOnceItsClientHasPausedForTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for what, test := range map[string]struct {
			pending  int
			begun    bool // a head
			silent   bool
			served   bool
			draining bool
			want     [2]account.Class // after StalledAfter, and a moment later
		}{
			"the first head":                    {begun: true, want: [2]account.Class{account.Busy, account.Stalled}},
			"the second head":                   {begun: true, served: true, want: [2]account.Class{account.Busy, account.Stalled}},
			"a head behind a request":           {begun: true, pending: 1, want: [2]account.Class{account.Busy, account.Busy}},
			"no byte of the first head":         {begun: true, silent: true, want: [2]account.Class{account.Silent, account.Silent}},
			"no byte of it while others end":    {begun: true, silent: true, draining: true, want: [2]account.Class{account.Busy, account.Stalled}},
			"no byte of the second head":        {served: true, want: [2]account.Class{account.Silent, account.Silent}},
			"a request without an answer":       {pending: 1, served: true, want: [2]account.Class{account.Busy, account.Busy}},
			"a first request on its way":        {want: [2]account.Class{account.Busy, account.Busy}},
			"the second head, while others end": {served: true, draining: true, want: [2]account.Class{account.Silent, account.Silent}},
		} {
			c := &strictConn{pending: test.pending, silent: test.silent, served: test.served, draining: func() bool { return test.draining }}
			if test.begun {
				c.began = time.Now()
			}
			time.Sleep(lane.StalledAfter) //nolint:forbidigo // of synctest
			before := c.classAtRest()
			time.Sleep(time.Nanosecond) //nolint:forbidigo // of synctest
			if got := [2]account.Class{before, c.classAtRest()}; got != test.want {
				t.Errorf("%s: got the classes %v, want %v", what, got, test.want)
			}
		}
	})
}
