package fronttest

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// TLS returns the configuration of a client that trusts the proxy.
func (f *Front) TLS() *tls.Config {
	return &tls.Config{RootCAs: f.PKI.Pool(), ServerName: "localhost"}
}

// Client returns an HTTP client that trusts the proxy; proto is "h1" or "h2".
func (f *Front) Client(proto string, certificates ...tls.Certificate) *http.Client {
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: f.PKI.Pool(), Certificates: certificates},
		ForceAttemptHTTP2: proto == "h2",
	}
	f.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: Patience}
}

// Dial connects a client that sends bytes. It is closed when the test ends.
func (f *Front) Dial() *proxytest.Raw {
	f.t.Helper()
	c, err := proxytest.DialRaw(f.Addr, f.TLS())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c
}

// Exchange sends one request as bytes on a new connection and reads its answer.
func (f *Front) Exchange(text string) *proxytest.Answer {
	f.t.Helper()
	c := f.Dial()
	if err := c.Send(text); err != nil {
		f.t.Fatalf("sending %.60q: %v", text, err)
	}
	method, _, _ := strings.Cut(text, " ")
	a, err := c.Answer(method)
	if err != nil {
		f.t.Fatalf("reading the answer to %.60q: %v", text, err)
	}
	return a
}

// Do sends a request, by user if it is not empty, with form as its body if that is not
// empty. It returns the status, the body and the header of the answer.
func Do(t testing.TB, client *http.Client, method, url, user, form string) (int, string, http.Header) {
	t.Helper()
	var body io.Reader
	if form != "" {
		body = strings.NewReader(form)
	}
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if user != "" {
		req.SetBasicAuth(user, user+"-pw")
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the answer: %v", method, url, err)
	}
	return resp.StatusCode, string(data), resp.Header
}

// Put writes a key as root.
func (f *Front) Put(t testing.TB, key, value string) {
	t.Helper()
	client := f.Client("h1")
	defer client.CloseIdleConnections()
	if status, body, _ := Do(t, client, "PUT", f.URL()+"/v2/keys"+key, "root", "value="+value); status >= 300 {
		t.Fatalf("writing %s: got %d %s, want 200 or 201", key, status, body)
	}
}

// Basic returns the value of an Authorization header for user, with its right password.
func Basic(user string) string {
	if user == "" {
		return ""
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+user+"-pw"))
}
