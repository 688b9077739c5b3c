package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/lane/std"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// TestStreamsOfOneClientThatTakeNoAnswersAreBoundedAndMakeRoomForOthers lets a client of HTTP/2
// open many more streams than there is memory for, and take no answer.
func TestStreamsOfOneClientThatTakeNoAnswersAreBoundedAndMakeRoomForOthers(t *testing.T) {
	const most, reserved = 400, 50
	var asked, arrived atomic.Int64
	wait := make(chan struct{}) // for the others
	endpoint := fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/v2/keys/missing"):
			asked.Add(1)
		case r.URL.RawQuery != "":
			arrived.Add(1)
			<-wait
		}
		_, _ = io.WriteString(w, "value")
	})
	f := fronttest.Fast.FrontWith(t, endpoint, func(o *proxy.Options) {
		o.MaxMemory = 4 * most * std.StreamBytes
		o.SetUsage(func() uint64 { return 0 }) // the pool alone has to do it
	}, nil)
	for n := range 10 {
		c := dialFrom(t, f, "127.0.0.2", "h2")
		b := newHTTP2Bytes(t)
		b.WriteString(http2.ClientPreface)
		b.must(b.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
		for i := range uint32(100) {
			head := fmt.Sprintf("\x82\x87\x04\x15/v2/keys/missing/%d%03d\x01\x01h", n, i)
			b.must(b.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: []byte(head), EndStream: true, EndHeaders: true}))
		}
		if _, err := io.WriteString(c, b.cut(0)); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, c) }()
	}
	fronttest.Eventually(t, "the client holds all the memory of streams that it can have", func() bool { return asked.Load() >= most-reserved })
	client := f.Client("h2")
	var others sync.WaitGroup
	for i := range 2 * reserved { // more than is reserved for newcomers
		others.Go(func() {
			resp, err := client.Get(fmt.Sprintf("%s/v2/keys/eventlogging/%d?quorum=true", f.URL(), i))
			if err != nil {
				t.Errorf("stream %d of another client: %v", i, err)
				return
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("stream %d of another client: got status %d, want 200", i, resp.StatusCode)
			}
		})
	}
	// All are open at the same time.
	fronttest.Eventually(t, "every stream of another client has reached etcd", func() bool { return arrived.Load() == 2*reserved })
	close(wait)
	others.Wait()
	if n := asked.Load(); n > most+100 {
		t.Errorf("%d requests whose answers nobody takes have reached etcd, want about %d", n, most-reserved)
	}
}
