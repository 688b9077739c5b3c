package migration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
)

// change is a request that changes etcd's own users. The library has no function for revoking.
type change struct {
	method, path string
	body         any
	password     string // of root; "" for nobody
}

// HTTPRequest implements the action of the library.
func (c change) HTTPRequest(endpoint url.URL) *http.Request {
	endpoint.Path = c.path
	r := &http.Request{Method: c.method, URL: &endpoint, Host: endpoint.Host, Header: make(http.Header)}
	if c.body != nil {
		body, err := json.Marshal(c.body)
		if err != nil {
			panic("BUG: a change of etcd's users cannot be encoded: " + err.Error())
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Type", "application/json")
	}
	if c.password != "" {
		r.SetBasicAuth("root", c.password)
	}
	return r
}

// guestsMayNotWrite revokes the right that etcd gives to all who do not log in.
var guestsMayNotWrite = map[string]any{"role": "guest", "revoke": map[string]any{"kv": map[string]any{"read": []string{}, "write": []string{"/*"}}}}

// errUsers means that the v2 API has users of its own, which decide who may write there.
var errUsers = errors.New("etcd's own users are enabled for the v2 API, so they decide who may still write there (hint: take the rights to write away from them)")

// lockV2 makes the v2 API refuse writes, by etcd's own authentication: nobody but its user root, who has the
// password, may write. Reads and the v3 API are not affected.
func (r *Rehearsal) lockV2(ctx context.Context, password string) error {
	m, err := r.connect(ctx)
	if err != nil {
		return err
	}
	var auth struct{ Enabled bool }
	if _, err := m.read(ctx, get{path: "/v2/auth/enable"}, &auth); err != nil {
		return err
	}
	if auth.Enabled {
		return errUsers
	}
	for _, c := range []change{
		{http.MethodPut, "/v2/auth/users/root", map[string]string{"user": "root", "password": password}, ""},
		{http.MethodPut, "/v2/auth/enable", nil, ""},
		{http.MethodPut, "/v2/auth/roles/guest", guestsMayNotWrite, password},
	} {
		if err := m.change(ctx, c); err != nil {
			return fmt.Errorf("locking the v2 API: %w", err)
		}
	}
	return nil
}

// change sends a request, which must succeed.
func (m *member) change(ctx context.Context, c change) error {
	response, _, err := m.client.Do(ctx, c) //nolint:bodyclose // Do reads and closes the body
	if err != nil {
		return cluster.OneLine(err)
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("etcd answers %s %s with the status %d", c.method, c.path, response.StatusCode)
	}
	return nil
}

// guestsMayWrite gives back what guestsMayNotWrite takes away.
var guestsMayWrite = map[string]any{"role": "guest", "grant": map[string]any{"kv": map[string]any{"read": []string{}, "write": []string{"/*"}}}}

// unlock undoes lockV2 with its password, and reports whether there was one. It can be repeated.
func (m *member) unlock(ctx context.Context, password string) (bool, error) {
	if password == "" {
		return false, nil
	}
	var auth struct{ Enabled bool }
	if _, err := m.read(ctx, get{path: "/v2/auth/enable"}, &auth); err != nil {
		return false, err
	}
	if auth.Enabled {
		if err := m.change(ctx, change{http.MethodDelete, "/v2/auth/enable", nil, password}); err != nil {
			return false, fmt.Errorf("unlocking the v2 API: %w (hint: if somebody else has enabled etcd's own users there, disable them with etcdctl auth disable)", err)
		}
	}
	// An attempt that was interrupted may have done these already.
	_ = m.change(ctx, change{http.MethodPut, "/v2/auth/roles/guest", guestsMayWrite, ""})
	_ = m.change(ctx, change{http.MethodDelete, "/v2/auth/users/root", nil, ""})
	return true, nil
}
