package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// head is the head of a request that all versions of HTTP can express.
type head struct {
	method, target, authority string
	fields                    []string // "Name: value"
	body                      string
}

// put is a write that everyone may make, with more fields.
func put(fields ...string) head {
	return head{"PUT", "/v2/keys/eventlogging/a", "h:4001", fields, "value=1"}
}

// text returns the request in HTTP/1.
func (h head) text(version string) string {
	text := fmt.Sprintf("%s %s %s\r\nHost: %s\r\n%s\r\n", h.method, h.target, version, h.authority, strings.Join(h.fields, "\r\n"))
	if h.body != "" {
		text += fmt.Sprintf("Content-Length: %d\r\n", len(h.body))
	}
	return text + "\r\n" + h.body
}

// http2 returns the request's fields in HTTP/2.
func (h head) http2() []hpack.HeaderField {
	fields := []hpack.HeaderField{{Name: ":method", Value: h.method}, {Name: ":scheme", Value: "https"}, {Name: ":path", Value: h.target}, {Name: ":authority", Value: h.authority}}
	for _, field := range h.fields {
		name, value, _ := strings.Cut(field, ":")
		fields = append(fields, hpack.HeaderField{Name: strings.ToLower(name), Value: strings.TrimSpace(value)})
	}
	return fields
}

// TestAHeadMeansTheSameInAllVersionsOfHTTP has no fields of connections, and no users in hosts:
// HTTP/2 has none, and net/http ends such a stream.
func TestAHeadMeansTheSameInAllVersionsOfHTTP(t *testing.T) {
	const form = "Content-Type: application/x-www-form-urlencoded"
	withoutBody := func(fields ...string) head {
		h := put(fields...)
		h.body = ""
		return h
	}
	changed := func(change func(*head)) head {
		h := withoutBody(form)
		change(&h)
		return h
	}
	hosted := func(authority string) head { return changed(func(h *head) { h.authority = authority }) }
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprintf("A%d: b", i)
	}
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "etcd got %q of type %q", body, r.Header["Content-Type"])
		}), nil)
		for what, c := range map[string]struct {
			head   head
			status int
		}{
			"an ordinary head":                           {put(form), 200},
			"two types":                                  {put(form, "Content-Type: text/plain"), 400},
			"the same type twice":                        {put(form, form), 400},
			"a type with an underscore":                  {put("Content_Type: application/x-www-form-urlencoded"), 400},
			"a length with an underscore":                {put(form, "Content_Length: 7"), 400},
			"a coding with an underscore":                {put(form, "Transfer_Encoding: chunked"), 400},
			"a forwarded address with underscores":       {put(form, "X_Forwarded_For: 192.0.2.1"), 400},
			"a real address with underscores":            {put(form, "X_Real_IP: 192.0.2.1"), 400},
			"another field with an underscore":           {put(form, "A_B: c"), 200},
			"an expectation":                             {put(form, "Expect: 100-continue"), 200},
			"an expectation in capitals":                 {put(form, "Expect: 100-CONTINUE"), 200},
			"an expectation among others":                {put(form, "Expect: nonsense, 100-continue"), 200},
			"an expectation besides another":             {put(form, "Expect: nonsense", "Expect: 100-continue"), 200},
			"another expectation":                        {put(form, "Expect: nonsense"), 417},
			"an expectation that begins like one":        {put(form, "Expect: 100-continued"), 417},
			"an empty expectation":                       {put(form, "Expect:"), 417},
			"two credentials":                            {put(form, "Authorization: Basic eDp5", "Authorization: Basic eDp5"), 400},
			"two lengths":                                {withoutBody(form, "Content-Length: 0", "Content-Length: 0"), 400},
			"an empty length":                            {withoutBody(form, "Content-Length:"), 400},
			"a length with a sign":                       {withoutBody(form, "Content-Length: +0"), 400},
			"a length of too many digits":                {withoutBody(form, "Content-Length: 0000000000000000"), 400},
			"a trailer that is announced":                {put(form, "Trailer: X"), 200},
			"a trailer with the name of a length":        {put(form, "Trailer: Content-Length"), 200},
			"too many fields":                            {put(many...), 431},
			"a host with a path":                         {hosted("h/x"), 400},
			"two hosts in one":                           {hosted("h,evil"), 400},
			"a host with a blank":                        {hosted("h evil"), 400},
			"another host besides it":                    {put(form, "Host: evil"), 400},
			"a method that is not a token":               {changed(func(h *head) { h.method = "PU(T" }), 400},
			"a method that etcd does not have":           {changed(func(h *head) { h.method = "PATCH" }), 405},
			"a method in lower case":                     {changed(func(h *head) { h.method = "put" }), 405},
			"a blank in the target":                      {changed(func(h *head) { h.target = "/v2/keys/eventlogging/a b" }), 400},
			"a blank in the query":                       {changed(func(h *head) { h.target += "?a b" }), 400},
			"an empty field":                             {put(form, "A:"), 200},
			"a cookie and fields that mean nothing here": {put(form, "Cookie: a=b", "X-HTTP-Method-Override: DELETE"), 200},
		} {
			answers := map[string]string{}
			for _, version := range []string{"HTTP/1.0", "HTTP/1.1"} {
				conn := f.Dial()
				if err := conn.Send(c.head.text(version)); err != nil {
					t.Fatal(err)
				}
				a, err := conn.Head()
				if err == nil && a.Status == 100 {
					a, err = conn.Head()
				}
				if err == nil {
					err = conn.ReadBody(a, c.head.method)
				}
				if err != nil {
					t.Fatalf("%s in %s: %v", what, version, err)
				}
				conn.Close()
				answers[version] = fmt.Sprint(a.Status, " ", a.Body)
			}
			status, body := exchangeHTTP2(t, f, c.head.http2(), c.head.body)
			answers["HTTP/2"] = fmt.Sprint(status, " ", body)
			for version, answer := range answers {
				if !strings.HasPrefix(answer, fmt.Sprint(c.status, " ")) || answer != answers["HTTP/1.1"] {
					t.Errorf("%s in %s: got %s, want status %d and the answer of HTTP/1.1, %s", what, version, answer, c.status, answers["HTTP/1.1"])
				}
				if c.status != 200 && !strings.Contains(answer, ` {"errorCode":`) {
					t.Errorf("%s in %s: got %s, want etcd's JSON", what, version, answer)
				}
			}
		}
	})
}

func TestARequestOfHTTP2WithoutAHostIsRefused(t *testing.T) {
	f := echo(t, fronttest.Fast)
	h := put()
	for what, fields := range map[string][]hpack.HeaderField{
		"no authority":       append(h.http2()[:3:3], hpack.HeaderField{Name: "a", Value: "b"}),
		"an empty authority": head{h.method, h.target, "", nil, ""}.http2(),
	} {
		if status, body := exchangeHTTP2(t, f, fields, ""); status != 400 || !strings.Contains(body, "there is no Host") {
			t.Errorf("%s: got %d %s, want 400 and the reason of HTTP/1.1", what, status, body)
		}
	}
	host := append(h.http2()[:3:3], hpack.HeaderField{Name: "host", Value: "h"})
	if status, body := exchangeHTTP2(t, f, host, ""); status != 200 {
		t.Errorf("a Host instead of an authority: got %d %s, want 200", status, body)
	}
}

// TestAnOddHeadEndsNoConnectionOfHTTP2: other streams of the connection go on.
func TestAnOddHeadEndsNoConnectionOfHTTP2(t *testing.T) {
	f := echo(t, fronttest.Fast)
	client := f.Client("h2")
	for range 2 {
		req, err := http.NewRequest("PUT", f.URL()+"/v2/keys/eventlogging/a", strings.NewReader("value=1"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Content-Type"] = []string{"a", "b"}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 400 || !strings.Contains(string(body), "more than one Content-Type") {
			t.Errorf("two types: got %d %s, want 400 and the reason", resp.StatusCode, body)
		}
	}
	if n := f.Counter("etcd_tlsproxy_handshakes_total", "full") + f.Counter("etcd_tlsproxy_handshakes_total", "resumed"); n != 1 {
		t.Errorf("two odd heads: got %v connections, want 1", n)
	}
	if status, body, _ := fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys/x", "", "value=1"); status != 401 || body != gate.RefuseIdentity.Body {
		t.Errorf("the next request: got %d %s, want 401", status, body)
	}
}
