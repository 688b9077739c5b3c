package std

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
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
	var made atomic.Int32
	makeBuffer := buffers.New
	buffers.New = func() any {
		made.Add(1)
		return makeBuffer()
	}
	defer func() { buffers.New = makeBuffer }()
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
