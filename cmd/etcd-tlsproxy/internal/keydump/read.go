package keydump

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/acl"
)

// tree is the result of a read.
type tree struct {
	node      *node // nil if there is no such key
	index     uint64
	clusterID string
}

// node is a key or directory in etcd's own form.
type node struct {
	Key           text       `json:"key"`
	Dir           bool       `json:"dir"`
	Value         text       `json:"value"`
	Nodes         []*node    `json:"nodes"`
	Expiration    *time.Time `json:"expiration"`
	CreatedIndex  uint64     `json:"createdIndex"`
	ModifiedIndex uint64     `json:"modifiedIndex"`
}

// below returns the number of nodes below n.
func (n *node) below() int {
	count := len(n.Nodes)
	for _, child := range n.Nodes {
		count += child.below()
	}
	return count
}

// get is the request of a read. The library's own function hides which bytes etcd
// replaced, and the id of the cluster if the key does not exist.
type get struct{ key acl.Key }

func (g get) HTTPRequest(endpoint url.URL) *http.Request {
	endpoint.Path, endpoint.RawPath = "/v2/keys"+string(g.key), "/v2/keys"+g.key.Escaped()
	endpoint.RawQuery = "quorum=true&recursive=true&sorted=true"
	return &http.Request{Method: http.MethodGet, URL: &endpoint, Host: endpoint.Host, Header: make(http.Header)}
}

// read reads a key and everything below it with a quorum.
func read(ctx context.Context, etcd client.Client, key acl.Key) (*tree, error) {
	response, body, err := etcd.Do(ctx, get{key}) //nolint:bodyclose // Do reads and closes the body
	if err != nil {
		return nil, fmt.Errorf("reading %v: %w", key, withHint(err))
	}
	answer := struct {
		Node *node `json:"node"`
		client.Error
	}{}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("reading %v: the response, %s, is not from etcd: %w (hint: --endpoints must be client URLs)", key, response.Status, err)
	}
	switch answer.Code {
	case 0, client.ErrorCodeKeyNotFound, client.ErrorCodeNotDir: // its parent may be a key
	default:
		return nil, fmt.Errorf("reading %v: %w", key, withHint(answer.Error))
	}
	t := &tree{node: answer.Node, clusterID: response.Header.Get("X-Etcd-Cluster-Id")}
	t.index, err = strconv.ParseUint(response.Header.Get("X-Etcd-Index"), 10, 64)
	if err != nil || t.clusterID == "" || (answer.Code == 0) != (answer.Node != nil) {
		return nil, fmt.Errorf("reading %v: the response, %s, lacks etcd's headers or the key (hint: --endpoints must be client URLs)", key, response.Status)
	}
	return t, nil
}

// withHint adds a hint to a refusal.
func withHint(err error) error {
	var refusal client.Error
	var cluster *client.ClusterError
	switch {
	case errors.As(err, &refusal) && refusal.Code == client.ErrorCodeUnauthorized:
		return fmt.Errorf("%w (hint: give --user and --password-file of a user whom the rules of the proxy allow this)", err)
	case errors.As(err, &refusal) && refusal.Code == client.ErrorCodeRootROnly:
		return fmt.Errorf("%w (hint: this proxy is read-only; use another one)", err)
	case errors.As(err, &cluster) && len(cluster.Errors) > 0:
		// Its own text has a line for each endpoint.
		return fmt.Errorf("no endpoint serves the request: %s (hint: --endpoints are the client URLs of etcd or of its proxies)", strings.ReplaceAll(errors.Join(cluster.Errors...).Error(), "\n", "; "))
	}
	return err
}
