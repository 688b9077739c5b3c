package env

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// V2Content is the content of an etcd with the v2 API, at a URL.
type V2Content string

// Values returns the values of all keys below a folder, by key.
func (c V2Content) Values(folder string) (map[string]string, error) {
	body, err := c.read("/v2/keys" + folder + "?recursive=true&quorum=true")
	if err != nil {
		return nil, err
	}
	var got transport.Event
	if err := json.Unmarshal(body, &got); err != nil {
		return nil, fmt.Errorf("reading %s from etcd: %w", folder, err)
	}
	return got.Node.Values(), nil
}

// Everything returns everything that the v2 API can change, by its place.
func (c V2Content) Everything() (map[string]string, error) {
	all := make(map[string]string)
	for _, path := range []string{"/v2/keys/?recursive=true&quorum=true", "/v2/members", "/v2/auth/users"} {
		body, err := c.read(path)
		if err != nil {
			return nil, err
		}
		all[path] = string(body)
	}
	return all, nil
}

// read reads a path. While etcd is down it tries again, for up to Timeout.
func (c V2Content) read(path string) ([]byte, error) {
	for limit := time.Now().Add(transport.Timeout); ; time.Sleep(50 * time.Millisecond) {
		body, err := get(string(c) + path)
		if err == nil || time.Now().After(limit) {
			return body, err
		}
	}
}

func get(url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), transport.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotFound {
		return nil, fmt.Errorf("reading %s: got status %s, want 200 or 404", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}
