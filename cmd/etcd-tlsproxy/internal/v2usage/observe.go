// Package v2usage finds out whether somebody uses the v2 API of the members of a cluster.
package v2usage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	client "go.etcd.io/etcd/client/v2"
)

// Member is a member that is asked. Etcd's answers are its own, and not those of the cluster.
type Member struct {
	ID, Name string
	Client   client.Client
}

// Observation is what members have counted.
type Observation struct {
	// Reads is how often they were read. A read with a quorum is counted by each of them.
	Reads uint64
	// Asked has the ids of the members, and Silent the endpoints that did not say which they are.
	Asked  map[string]bool
	Silent []string
}

// Observe looks at members for some time. It is an error if somebody watches keys: each watcher would be told that these
// were deleted.
func (s *Source) Observe(ctx context.Context, first *Member, long time.Duration) (*Observation, error) {
	o := &Observation{Asked: map[string]bool{first.ID: true}}
	all := []*Member{first}
	for _, e := range s.Endpoints {
		transport := &http.Transport{TLSClientConfig: e.TLS}
		defer transport.CloseIdleConnections()
		m, has, err := s.member(ctx, e, transport)
		switch {
		case err != nil:
			o.Silent = append(o.Silent, e.Addr)
		case o.Asked[m.ID]:
		default:
			if o.Asked[m.ID] = true; has {
				all = append(all, m)
			}
		}
	}
	before := make([]uint64, len(all))
	for i, m := range all {
		var err error
		if before[i], err = m.reads(ctx); err != nil {
			return nil, err
		}
	}
	if long == 0 {
		return o, nil
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(long):
	}
	for i, m := range all {
		after, err := m.reads(ctx)
		if err != nil {
			return nil, err
		}
		if after < before[i] { // it was restarted
			before[i] = 0
		}
		o.Reads += after - before[i]
	}
	return o, nil
}

const path = "/v2/stats/store"

// reads returns how often a member was read since it was started.
func (m *Member) reads(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	response, body, err := m.Client.Do(ctx, get{}) //nolint:bodyclose // Do reads and closes the body
	var usage struct{ Watchers, GetsSuccess, GetsFail uint64 }
	switch {
	case err != nil:
	case response.StatusCode != http.StatusOK:
		err = fmt.Errorf("it answers %s with the status %d", path, response.StatusCode)
	case json.Unmarshal(body, &usage) != nil:
		err = errors.New("its answer to " + path + " is not valid JSON")
	case usage.Watchers > 0:
		return 0, fmt.Errorf("%d clients watch keys at the v2 API of the member %s, and would be told that these are deleted (hint: they connect to the member itself, or to a proxy with upstream.api = \"v2\"; stop them, and restart etcd if its %s still counts some)", usage.Watchers, m.Name, path)
	}
	if err != nil {
		return 0, fmt.Errorf("asking the member %s how much it is used: %w", m.Name, err)
	}
	return usage.GetsSuccess + usage.GetsFail, nil
}

// get is the request.
type get struct{}

func (get) HTTPRequest(endpoint url.URL) *http.Request {
	endpoint.Path = path
	return &http.Request{Method: http.MethodGet, URL: &endpoint, Host: endpoint.Host, Header: make(http.Header)}
}
