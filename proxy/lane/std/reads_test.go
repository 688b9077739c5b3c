package std

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// TestFramesThatAreNoRequestsWait sends floods of frames that cost the sender nothing. Each ends when a
// read waits.
func TestFramesThatAreNoRequestsWait(t *testing.T) {
	t.Parallel()
	for what, write := range map[string]func(h *h2Client, n uint32) error{
		"PINGs":          func(h *h2Client, _ uint32) error { return h.WritePing(false, [8]byte{}) },
		"settings":       func(h *h2Client, _ uint32) error { return h.WriteSettings() },
		"windows":        func(h *h2Client, _ uint32) error { return h.WriteWindowUpdate(0, 1) },
		"priorities":     func(h *h2Client, n uint32) error { return h.WritePriority(n, http2.PriorityParam{Weight: 1}) },
		"bodies":         func(h *h2Client, _ uint32) error { return h.WriteData(1, false, nil) },
		"tiny bodies":    func(h *h2Client, _ uint32) error { return h.WriteData(1, false, []byte("x")) },
		"parts of heads": func(h *h2Client, _ uint32) error { return h.WriteContinuation(3, false, nil) },
		"resets": func(h *h2Client, n uint32) error {
			h.ask(n)
			return h.WriteRSTStream(n, http2.ErrCodeCancel)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(*rig) {})
			r.bounded.Store(true)
			h := r.http2(0)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = io.Copy(io.Discard, h.Conn)
			}()
			h.must(h.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("\x83\x87\x04\x08/version\x01\x01h"), EndHeaders: true}))
			if what == "parts of heads" {
				h.must(h.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: versionHead}))
			}
			for n := range uint32(300) {
				if write(h, 5+2*n) != nil {
					break // the proxy does not take more
				}
			}
			select {
			case <-r.delayed:
			case <-ended:
				t.Error("no read waited")
			}
		})
	}
}

// TestNoRequestOfAnHonestClientWaits makes all kinds of requests, first small ones, with a rate of one
// read per second.
func TestNoRequestOfAnHonestClientWaits(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 1<<20)
	r := newRigBefore(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.HasSuffix(r.URL.Path, "large") {
			_, _ = io.WriteString(w, large)
		}
		_, _ = io.WriteString(w, "value")
	}, func(*rig) {})
	r.bounded.Store(true)
	for _, client := range []*http.Client{r.client("h2"), r.client("h1")} {
		for i := range 500 {
			method, path, body := "GET", "/version", ""
			switch {
			case i%10 == 1:
				method, path, body = "PUT", "/v2/keys/eventlogging/x", "value=x"
			case i > 300 && i%50 == 2:
				method, path, body = "PUT", "/v2/keys/eventlogging/x", "value="+large[:800_000]
			case i > 300 && i%50 == 3:
				path = "/v2/keys/eventlogging/large"
			}
			req, err := http.NewRequestWithContext(t.Context(), method, "https://"+r.ln.Addr().String()+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			resp, err := client.Do(req)
			if err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%s %s: got status %d and the error %v, want 200", method, path, resp.StatusCode, err)
			}
			select {
			case <-r.delayed:
				t.Fatalf("request %d by %s: %s %s had to wait", i, resp.Proto, method, path)
			default:
			}
		}
	}
}
