package explain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"etcd-tlsproxy/cmd/internal/usage"
	"etcd-tlsproxy/proxy/gate"
)

// Running is the admin URL of a running proxy, such as http://127.0.0.1:4002.
type Running string

// Explain returns the decision of the proxy's gate.
func (r Running) Explain(ctx context.Context, method, target, user string) (*gate.Explanation, error) {
	return get[gate.Explanation](ctx, r, url.Values{"method": {method}, "target": {target}, "user": {user}})
}

// Who returns who can read and write a key.
func (r Running) Who(ctx context.Context, key string) (*Who, error) {
	return get[Who](ctx, r, url.Values{"who": {key}})
}

// What returns what a user can read and write.
func (r Running) What(ctx context.Context, user string) (*What, error) {
	return get[What](ctx, r, url.Values{"what": {user}})
}

// Table returns all rules.
func (r Running) Table(ctx context.Context) (*Table, error) { return get[Table](ctx, r, nil) }

// The limits for a response of the proxy, which is small and computed at once.
const (
	maxResponse     = 64 << 20
	responseTimeout = 10 * time.Second
)

// ParseAdmin parses the URL of an admin address. The error does not repeat the URL, which can
// contain a password.
func ParseAdmin(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("it is not a valid admin URL (hint: write it like http://127.0.0.1:4002)")
	}
	return u, nil
}

func get[T any](ctx context.Context, r Running, query url.Values) (*T, error) {
	base, err := ParseAdmin(string(r))
	if err != nil {
		return nil, usage.Mark(fmt.Errorf("--running: %w", err))
	}
	ctx, cancel := context.WithTimeout(ctx, responseTimeout)
	defer cancel()
	base.Path, base.RawQuery = "/-/explain", query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("connecting to the running proxy: %w", err)
	}
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("connecting to the running proxy: %w (hint: --running must be its admin address, the key admin of the configuration)", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return nil, fmt.Errorf("connecting to the running proxy: %w", err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusBadRequest:
		return nil, fmt.Errorf("the running proxy refuses the request: %s", strings.TrimSpace(string(body)))
	default:
		return nil, fmt.Errorf("connecting to the running proxy: it answers %s (hint: check that this is the admin address of an etcd-tlsproxy that supports explain)", resp.Status)
	}
	value := new(T)
	if err := json.Unmarshal(body, value); err != nil {
		return nil, fmt.Errorf("reading the response of the running proxy: %w", err)
	}
	return value, nil
}
