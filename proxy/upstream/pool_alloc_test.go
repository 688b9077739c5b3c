//go:build !race

package upstream

import (
	"context"
	"errors"
	"io"
	"testing"
)

// quick answers without allocating, so that the benchmark counts only the pool.
func quick(c *session) {
	buf, answer := make([]byte, 4096), []byte(ok)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

func once(p *Pool, req *Request, buf []byte) error {
	r, err := p.Do(context.Background(), req)
	if err != nil {
		return err
	}
	for err == nil {
		_, err = r.Read(buf)
	}
	r.Close()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func TestARequestInTheSteadyStateAllocatesNothing(t *testing.T) {
	p := newPool(t, Options{}, serve(t, quick).endpoint())
	buf := make([]byte, 4096)
	req := &Request{Method: "GET", Target: "/v2/keys/a", UserAgent: "test"}
	if n := testing.AllocsPerRun(100, func() { _ = once(p, req, buf) }); n > 0 {
		t.Errorf("one exchange: got %v allocations, want 0", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	for _, method := range []string{"GET", "PUT"} {
		b.Run(method, func(b *testing.B) {
			p := newPool(b, Options{}, serve(b, quick).endpoint())
			buf := make([]byte, 4096)
			req := &Request{Method: method, Target: "/v2/keys/a", UserAgent: "test"}
			b.ReportAllocs()
			for b.Loop() {
				if err := once(p, req, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
