package upstream

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheBoundsOfAnAnswerAndOfAProbe(t *testing.T) {
	for name, c := range map[string]struct{ got, want int }{
		"the bytes of a head":                                     {largeHead, 64 << 10},
		"the bytes of an answer that is received whole":           {MaxBuffered, 4 << 20},
		"the bytes of an answer that are not counted":             {Uncounted, 64 << 10},
		"the bytes of an answer to a probe":                       {maxProbeAnswer, 64 << 10},
		"the milliseconds that a probe takes":                     {int(ProbeTimeout / time.Millisecond), 1000},
		"the milliseconds between two probes":                     {int(probeInterval / time.Millisecond), 3000},
		"the milliseconds for which an answer waits for its room": {int(payPatience / time.Millisecond), 2000},
		"the addresses that are looked up at the same time":       {maxLookups, 8},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %d, want %d", name, c.got, c.want)
		}
	}
}

func TestAnEndpointThatStaysDownIsProbedOnceASecondInTheEnd(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at, err := ParseEndpoint("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ln.Close() // nothing listens there
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Options{}, at, at)
		last, dials := time.Now(), uint64(0)
		p.endpoints[0].markDown()
		for pause, n := 50*time.Millisecond, 0; n < 20; {
			<-time.After(time.Millisecond)
			if p.count.Dials.Load() == dials {
				if waited := time.Since(last); waited > pause+5*time.Millisecond {
					t.Fatalf("probe %d of an endpoint that is down: got none for %v, want one after %v at most", n+1, waited, pause)
				}
				continue
			}
			if waited := time.Since(last); waited < pause/2-5*time.Millisecond {
				t.Errorf("probe %d of an endpoint that is down: got it after %v, want %v at least", n+1, waited, pause/2)
			}
			last, dials = time.Now(), p.count.Dials.Load()
			pause, n = min(2*pause, time.Second), n+1
		}
	})
}
