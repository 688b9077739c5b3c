package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	client "go.etcd.io/etcd/client/v2"
)

// failures makes errors of the answers that say that a request failed at the server. The
// library drops what such an answer says, and reports that the member has no leader.
type failures struct{ *http.Transport }

// RoundTrip returns an answer, or the error that it reports.
func (f failures) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := f.Transport.RoundTrip(r)
	if err != nil || resp.StatusCode < http.StatusInternalServerError && resp.StatusCode != http.StatusNotFound {
		return resp, err
	}
	defer resp.Body.Close()
	got := response{status: resp.StatusCode}
	if resp.StatusCode == http.StatusNotFound {
		if got.body, err = io.ReadAll(io.LimitReader(resp.Body, maxResponse)); err != nil {
			return nil, err
		}
		if string(got.body) == noV2 && strings.HasPrefix(r.URL.Path, "/v2/") {
			return nil, &failure{r.URL.Scheme + "://" + r.URL.Host, got.status, "this etcd has no v2 API: it is etcd 3.6, or runs without --enable-v2 " +
				"(hint: give the URL of a proxy with upstream.api = \"v3\"; backup takes --config with that configuration)"}
		}
		resp.Body = io.NopCloser(bytes.NewReader(got.body))
		return resp, nil
	}
	if got.body, err = io.ReadAll(io.LimitReader(resp.Body, maxResponse)); err != nil {
		return nil, err
	}
	return nil, &failure{r.URL.Scheme + "://" + r.URL.Host, got.status, got.errorText()}
}

// noV2 is the answer of an etcd without the v2 API to a path of it. An etcd that has it, and a proxy, answer with
// JSON.
const noV2 = "404 page not found\n"

// failure is an answer that says that a request failed.
type failure struct {
	endpoint string
	status   int
	text     string
}

func (f *failure) Error() string {
	return fmt.Sprintf("%s answers with status %d: %s", f.endpoint, f.status, f.text)
}

// OneLine puts the library's error, which has a line for each endpoint, on one line.
func OneLine(err error) error {
	var all *client.ClusterError
	if !errors.As(err, &all) {
		return err
	}
	texts := make([]string, len(all.Errors))
	for i, e := range all.Errors {
		texts[i] = e.Error()
	}
	if answered(all) {
		return errors.New(strings.Join(texts, "; "))
	}
	return errors.New("no endpoint answers: " + strings.Join(texts, "; "))
}

// answered reports whether an endpoint answered, and the answer was that it failed.
func answered(all *client.ClusterError) bool {
	for _, err := range all.Errors {
		if _, ok := errors.AsType[*failure](err); ok {
			return true
		}
	}
	return false
}

// reachable returns an endpoint that accepts a connection, or "".
func (c *Connection) reachable() string {
	for _, endpoint := range c.Endpoints {
		u, err := url.Parse(endpoint)
		if err != nil || u.Port() == "" {
			continue
		}
		connection, err := net.DialTimeout("tcp", u.Host, time.Second)
		if err == nil {
			_ = connection.Close()
			return endpoint
		}
	}
	return ""
}

// hint says where the endpoints of an error come from, unless an endpoint has answered.
func (c *Connection) hint(err error) string {
	if all, ok := errors.AsType[*client.ClusterError](err); ok && answered(all) {
		return ""
	}
	if errors.Is(err, context.DeadlineExceeded) {
		if at := c.reachable(); at != "" {
			return " (hint: " + at + " accepts connections, but etcd did not answer through it within " + c.Timeout.String() + ": see its status page, or the log of etcd)"
		}
	}
	return " (hint: --endpoints is " + strings.Join(c.Endpoints, ",") + ")"
}
