package proxytest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// Dump returns everything that can be changed through the v2 API of an etcd: its keys with
// their indexes, its members, its users. If two dumps are equal, nothing was changed.
func Dump(url string) (string, error) {
	var b strings.Builder
	for _, path := range []string{"/v2/keys/?recursive=true&sorted=true", "/v2/members", "/v2/auth/enable", "/v2/auth/users"} {
		resp, err := http.Get(url + path)
		if err != nil {
			return "", fmt.Errorf("dumping etcd: %w", err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return "", fmt.Errorf("dumping etcd: %w", err)
		}
		fmt.Fprintf(&b, "%s %d %s %s\n", path, resp.StatusCode, resp.Header.Get("X-Etcd-Index"), secondsLeft.ReplaceAll(body, nil))
	}
	return b.String(), nil
}

// secondsLeft matches the remaining seconds of keys, which count down without a change. The
// dump also contains the times of expiry.
var secondsLeft = regexp.MustCompile(`,"ttl":\d+`)

// Value reads a key from etcd directly. ok is false if the key does not exist.
func Value(url, key string) (value string, ok bool, err error) {
	resp, err := http.Get(url + "/v2/keys" + key)
	if err != nil {
		return "", false, err
	}
	defer resp.Body.Close()
	var answer struct {
		Node struct{ Value string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", false, err
	}
	return answer.Node.Value, resp.StatusCode == http.StatusOK, nil
}
