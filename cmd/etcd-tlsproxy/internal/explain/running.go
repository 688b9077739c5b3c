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

	"etcd-tlsproxy/proxy/gate"
)

// Running is the admin address of a running proxy, as in http://127.0.0.1:4002.
type Running string

// Explain asks what the proxy's gate decides.
func (r Running) Explain(ctx context.Context, method, target, user string) (*gate.Explanation, error) {
	return get[gate.Explanation](ctx, r, url.Values{"method": {method}, "target": {target}, "user": {user}})
}

// Who asks who may read and write a key.
func (r Running) Who(ctx context.Context, key string) (*Who, error) {
	return get[Who](ctx, r, url.Values{"who": {key}})
}

// What asks what a user may do.
func (r Running) What(ctx context.Context, user string) (*What, error) {
	return get[What](ctx, r, url.Values{"what": {user}})
}

// Table asks for all rules.
func (r Running) Table(ctx context.Context) (*Table, error) { return get[Table](ctx, r, nil) }

// What a proxy has to say fits into this, and comes at once.
const (
	maxResponse     = 64 << 20
	responseTimeout = 10 * time.Second
)

func get[T any](ctx context.Context, r Running, query url.Values) (*T, error) {
	base, err := url.Parse(string(r))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil || strings.Trim(base.Path, "/") != "" || base.RawQuery != "" {
		return nil, errors.New("--running is no URL of an admin address (hint: write it as in http://127.0.0.1:4002)")
	}
	ctx, cancel := context.WithTimeout(ctx, responseTimeout)
	defer cancel()
	base.Path, base.RawQuery = "/-/explain", query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("asking the running proxy: %w", err)
	}
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the running proxy: %w (hint: --running is its admin address, which the configuration calls admin)", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return nil, fmt.Errorf("asking the running proxy: %w", err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusBadRequest:
		return nil, fmt.Errorf("the running proxy says: %s", strings.TrimSpace(string(body)))
	default:
		return nil, fmt.Errorf("asking the running proxy: it answers %s (hint: is this the admin address of an etcd-tlsproxy that knows explain?)", resp.Status)
	}
	value := new(T)
	if err := json.Unmarshal(body, value); err != nil {
		return nil, fmt.Errorf("asking the running proxy: its answer is malformed: %w", err)
	}
	return value, nil
}
