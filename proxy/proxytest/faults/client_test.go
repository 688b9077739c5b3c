package faults

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest/exact"
	"etcd-tlsproxy/proxy/v2store"
)

// newHTTPClient returns a client with connections of its own.
func newHTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		// Each process of a proxy has a new certificate.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext:     (&net.Dialer{Timeout: time.Second}).DialContext,
	}}
}

// answer is what a proxy answered to a request.
type answer struct {
	status int
	index  uint64
	body   []byte
}

// send sends a request, and returns its whole answer.
func send(ctx context.Context, client *http.Client, method, target, form string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(form))
	if err != nil {
		return answer{}, err
	}
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode}
	a.index, _ = strconv.ParseUint(resp.Header.Get("X-Etcd-Index"), 10, 64) // a refusal has none
	a.body, err = io.ReadAll(resp.Body)
	return a, err
}

// maxRequest is how long a client waits. Proxies answer sooner, unless they do not run.
const maxRequest = 15 * time.Second

// target returns the method, the path with the query, and the form of a request.
func target(r *exact.Request, ttl int) (method, path, form string) {
	query, values := url.Values{}, url.Values{}
	method = "PUT"
	switch r.Action {
	case v2store.Get:
		method = "GET"
	case v2store.Delete, v2store.CompareAndDelete:
		method = "DELETE"
	case v2store.Create:
		values.Set("prevExist", "false")
	case v2store.Update:
		values.Set("prevExist", "true")
	}
	if r.InOrder {
		method, values = "POST", url.Values{}
	}
	switch {
	case r.PrevIndex != 0:
		values.Set("prevIndex", strconv.FormatUint(r.PrevIndex, 10))
	case r.PrevValue != "":
		values.Set("prevValue", r.PrevValue)
	}
	if r.Value != "" {
		values.Set("value", r.Value)
	}
	if ttl > 0 {
		values.Set("ttl", strconv.Itoa(ttl))
	}
	if r.Dir {
		values.Set("dir", "true")
	}
	if r.Recursive {
		query.Set("recursive", "true")
	}
	if r.Quorum {
		query.Set("quorum", "true")
	}
	if method == "DELETE" {
		for name := range values {
			query.Set(name, values.Get(name))
		}
		values = nil
	}
	return method, "/v2/keys" + r.Key + "?" + query.Encode(), values.Encode()
}

// do sends an operation through a proxy, and completes it with what became of it.
func (r *round) do(client *http.Client, o *exact.Op, ttl int) {
	method, path, form := target(&o.Request, ttl)
	ctx, cancel := context.WithTimeout(context.Background(), maxRequest)
	defer cancel()
	o.Start = time.Since(r.began)
	a, err := send(ctx, client, method, r.url(o.Proxy)+path, form)
	o.End = time.Since(r.began)
	r.judge(o, a, err)
	r.record(o)
}

// judge decides what became of an operation.
func (r *round) judge(o *exact.Op, a answer, err error) {
	write := o.Action != v2store.Get
	var dial *net.OpError
	switch {
	case err != nil && (!write || errors.As(err, &dial) && dial.Op == "dial"):
		o.Outcome = exact.Refused
		return
	case err != nil:
		o.Outcome = exact.Unknown
		return
	}
	var failure v2store.Error
	switch {
	case a.status == 200 || a.status == 201:
		o.Outcome, o.Event = exact.Answered, new(v2store.Event)
		if !decode(a.body, o.Event) || o.Event.Node == nil {
			r.finding("an answer cannot be read: %s: %d %s", o, a.status, a.body)
			o.Event = &v2store.Event{Node: &v2store.Node{}}
		}
		if o.Index = a.index; write {
			o.Index = o.Event.Node.ModifiedIndex
		}
		if write && a.index != o.Index {
			r.finding("the answer to a write has the index %d in its head, want that of its event: %s", a.index, o)
		}
	case a.is(gate.RefuseStore.Body), a.is(gate.RefuseUnreachable.Body), a.is(gate.RefuseUpstreamBusy.Body):
		o.Outcome = exact.Refused
	case a.is(gate.RefuseUnknownOutcome.Body):
		o.Outcome = exact.Unknown
	case !decode(a.body, &failure):
		r.finding("an answer cannot be read: %s: %d %s", o, a.status, a.body)
		o.Outcome = exact.Unknown
	case failure.Message == "The answer is lost":
		o.Outcome, o.Index = exact.Executed, failure.Index
	case failure.Code < v2store.CodeRaftInternal && a.index == failure.Index:
		o.Outcome, o.Code, o.Index = exact.Answered, failure.Code, failure.Index
	default:
		r.finding("an unexpected answer: %s: %d %s", o, a.status, a.body)
		o.Outcome = exact.Unknown
	}
}

// is reports whether an answer is a refusal of the proxy.
func (a *answer) is(refusal string) bool {
	return bytes.Equal(bytes.TrimSpace(a.body), bytes.TrimSpace([]byte(refusal)))
}

// url returns the address of a proxy.
func (r *round) url(proxy int) string {
	return fmt.Sprint("https://", r.proxies[proxy].addresses[proxies])
}
