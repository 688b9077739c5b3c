package std

import (
	"crypto/tls"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
)

func TestARequestThatWaitsForEtcdHoldsNoBuffer(t *testing.T) {
	const requests = 50
	received, answer := make(chan struct{}, requests), make(chan struct{})
	r := newRigBefore(t, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/version" {
			received <- struct{}{}
			<-answer
		}
		_, _ = io.WriteString(w, "value")
	}, func(*rig) {})
	client := r.client("h2")
	resp, err := client.Get("https://" + r.ln.Addr().String() + "/version") // so that there is a connection
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	made := countBuffers(t)
	var reads sync.WaitGroup
	for range requests {
		reads.Go(func() { r.get(client) })
	}
	for range requests {
		<-received
	}
	if n := made.Load(); n > 0 {
		t.Errorf("%d requests that wait for etcd hold %d buffers, want none", requests, n)
	}
	close(answer)
	reads.Wait()
}

// countBuffers counts the buffers that are made until the test ends.
func countBuffers(t *testing.T) (made *atomic.Int32) {
	made = new(atomic.Int32)
	makeBuffer := buffers.New
	buffers.New = func() any {
		made.Add(1)
		return makeBuffer()
	}
	t.Cleanup(func() { buffers.New = makeBuffer })
	return made
}

// TestAClientOfHTTP2ThatTakesNoShortAnswersHoldsNoBuffers opens streams whose window is
// empty. When the head of an answer has arrived, its body waits for the client.
func TestAClientOfHTTP2ThatTakesNoShortAnswersHoldsNoBuffers(t *testing.T) {
	const streams = 50
	r := newRig(t, func(*rig) {})
	c, err := tls.Dial("tcp", r.ln.Addr().String(), &tls.Config{RootCAs: r.pki.Pool(), ServerName: "localhost", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	made := countBuffers(t)
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(c, c)
	if err := framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		t.Fatal(err)
	}
	// :method GET, :scheme https, :path /version, :authority h, in the static table's terms.
	head := []byte("\x82\x87\x04\x08/version\x01\x01h")
	for i := range uint32(streams) {
		if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: head, EndStream: true, EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
		for answered := false; !answered; {
			frame, err := framer.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			_, answered = frame.(*http2.HeadersFrame)
		}
	}
	// sync.Pool drops some buffers at random, for each processor and under the race detector.
	if n := made.Load(); n > streams/2 {
		t.Errorf("%d answers that wait for their client hold %d buffers, want few", streams, n)
	}
}

// TestABufferIsGivenBackOnce takes all buffers that short answers have left.
func TestABufferIsGivenBackOnce(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // each processor keeps buffers of its own
	r := newRig(t, func(*rig) {})
	client := r.client("h2")
	for range 20 {
		r.get(client)
	}
	made := countBuffers(t)
	taken := make(map[any]bool)
	for made.Load() == 0 {
		buf := buffers.Get()
		if taken[buf] {
			t.Fatal("a buffer was given back twice, so that two answers would share it")
		}
		taken[buf] = true
	}
}
