package std

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/proxytest"
)

// TestAShutdownCutsWhatDoesNotEndInTime has a request that etcd does not answer.
func TestAShutdownCutsWhatDoesNotEndInTime(t *testing.T) {
	asked := make(chan struct{})
	r := newRigBefore(t, func(_ http.ResponseWriter, q *http.Request) {
		close(asked)
		<-q.Context().Done()
	}, func(*rig) {})
	client, _ := r.raw()
	if err := client.Send(readRequest); err != nil {
		t.Fatal(err)
	}
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got the error %v, want %v", err, context.Canceled)
	}
	if a, err := client.Answer("GET"); err == nil {
		t.Errorf("a request that etcd does not answer: got %+v, want its connection cut", a)
	}
	if err := r.conns.Wait(t.Context(), lane.Standard); err != nil {
		t.Error(err)
	}
}

// TestARefusalNamesItsRequest has a client that names its requests, and one that does not.
func TestARefusalNamesItsRequest(t *testing.T) {
	r := newRig(t, func(*rig) {})
	for _, name := range []string{"given-1", ""} {
		client, _ := r.raw()
		field := ""
		if name != "" {
			field = observe.RequestIDField + ": " + name + "\r\n"
		}
		if err := client.Send("PUT /v2/keys/conftool/x HTTP/1.1\r\nHost: h\r\n" + field + "\r\n"); err != nil {
			t.Fatal(err)
		}
		a, err := client.Answer("PUT")
		if err != nil || a.Status != 401 {
			t.Fatalf("got %+v and the error %v, want the status 401", a, err)
		}
		if got, _ := a.Field(observe.RequestIDField); got == "" || name != "" && got != name {
			t.Errorf("the name of a request: got %q, want %q, or a new one in place of none", got, name)
		}
	}
}

// TestARefusedClientThatWaitsToSendTooMuchIsEnded has clients that wait for a 100 Continue. One that goes on must
// send its body, so the connection of one whose body is too large is of no use.
func TestARefusedClientThatWaitsToSendTooMuchIsEnded(t *testing.T) {
	r := newRig(t, func(*rig) {})
	for length, ends := range map[int]bool{9: false, 1 << 20: false, 1<<20 + 1: true} {
		client, _ := r.raw()
		if err := client.Send("PUT /v2/keys/conftool/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: " + strconv.Itoa(length) + "\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		a, err := client.Answer("PUT")
		if err != nil || a.Status != 401 {
			t.Fatalf("a body of %d bytes: got %+v and the error %v, want the status 401", length, a, err)
		}
		if got, _ := a.Field("Connection"); (got == "close") != ends {
			t.Errorf("a body of %d bytes: got Connection %q, want its end %t", length, got, ends)
		}
		if !ends {
			if err := client.Send(strings.Repeat("x", length)); err != nil {
				t.Fatal(err)
			}
			r.ask(client)
			continue
		}
		if end := client.End(); end != proxytest.EndedWell {
			t.Errorf("a body of %d bytes: got the end %q, want %q", length, end, proxytest.EndedWell)
		}
	}
}
