package v2usage

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// timeout bounds what is asked of one member.
const timeout = 10 * time.Second

// Source says how to reach members.
type Source struct {
	Endpoints []rpc.Endpoint
	// User and Password are for the v3 API, and Key is one that the user may read there.
	User, Password string
	Key            []byte
}

// member returns the member at an endpoint, and reports whether it has the v2 API.
func (s *Source) member(ctx context.Context, e rpc.Endpoint, transport *http.Transport) (m *Member, has bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	store, err := rpc.New([]rpc.Endpoint{e}, s.User, s.Password)
	if err != nil {
		return nil, false, err
	}
	defer store.Close()
	// The member answers when it has executed what came before. That includes the caller's own reads with a quorum.
	answer, err := store.Range(ctx, &pb.RangeRequest{Key: s.Key, KeysOnly: true})
	if err != nil {
		return nil, false, err
	}
	m = &Member{ID: strconv.FormatUint(answer.Header.MemberId, 16), Name: e.Addr}
	if m.Client, err = client.New(client.Config{Endpoints: []string{e.URL()}, Transport: transport}); err != nil {
		return nil, false, err
	}
	has, err = serves(ctx, m.Client)
	return m, has, err
}

// Serves reports whether the member at a URL has the v2 API.
func Serves(ctx context.Context, url string, transport *http.Transport) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer transport.CloseIdleConnections()
	etcd, err := client.New(client.Config{Endpoints: []string{url}, Transport: transport})
	if err != nil {
		return false, err
	}
	return serves(ctx, etcd)
}

func serves(ctx context.Context, etcd client.Client) (bool, error) {
	response, _, err := etcd.Do(ctx, get{}) //nolint:bodyclose // Do reads and closes the body
	switch {
	case err != nil:
		return false, err
	case response.StatusCode == http.StatusNotFound:
		return false, nil
	case response.StatusCode != http.StatusOK:
		return false, fmt.Errorf("it answers %s with the status %d", path, response.StatusCode)
	}
	return true, nil
}
