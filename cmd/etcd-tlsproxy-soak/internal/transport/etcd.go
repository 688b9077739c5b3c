package transport

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// GetFromEtcd reads a path from etcd without going through the proxy. While etcd is
// down it tries again, for up to Timeout.
func GetFromEtcd(url, path string) ([]byte, error) {
	for limit := time.Now().Add(Timeout); ; time.Sleep(50 * time.Millisecond) {
		body, err := get(url + path)
		if err == nil || time.Now().After(limit) {
			return body, err
		}
	}
}

func get(url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
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
