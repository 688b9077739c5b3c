package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	client "go.etcd.io/etcd/client/v2"
)

// etcd takes changes of a cluster's members only when the one that is asked has been
// connected to the others for 5 s, and answers 500 without a reason before that.
const (
	changeTimeout    = 10 * time.Second
	changeRetryEvery = 500 * time.Millisecond
)

// ApplyAdd adds a member, and returns its id.
func (c *Connection) ApplyAdd(ctx context.Context, h *Health, peerURL string) (id string, err error) {
	done := func(members []client.Member) bool {
		for _, m := range members {
			if slices.Contains(m.PeerURLs, peerURL) {
				id = m.ID
				return true
			}
		}
		return false
	}
	body := map[string][]string{"peerURLs": {peerURL}}
	got, err := c.change(ctx, h, "", http.MethodPost, "/v2/members", body, http.StatusCreated, done)
	if err != nil || got == nil {
		return id, err
	}
	var added struct{ ID string }
	if err := json.Unmarshal(got.body, &added); err != nil || added.ID == "" {
		return "", errors.New("the member was added, and the answer does not tell its id (hint: member list does)")
	}
	return added.ID, nil
}

// ApplyRemove removes a member.
func (c *Connection) ApplyRemove(ctx context.Context, h *Health, id string) error {
	gone := func(members []client.Member) bool {
		return !slices.ContainsFunc(members, func(m client.Member) bool { return m.ID == id })
	}
	_, err := c.change(ctx, h, id, http.MethodDelete, "/v2/members/"+id, nil, http.StatusNoContent, gone)
	return err
}

// change asks one endpoint, because the library would ask the next one, for the same
// once more, when the first has not answered. An answer of nil with no error is none
// that came, while the members show that the change was made.
func (c *Connection) change(ctx context.Context, h *Health, avoid, method, path string, body any, want int, done func([]client.Member) bool) (*response, error) {
	mc, err := c.memberClient()
	if err != nil {
		return nil, err
	}
	defer mc.close()
	endpoint, err := mc.chooseEndpoint(ctx, c.Endpoints, h, avoid)
	if err != nil {
		return nil, err
	}
	limit := time.Now().Add(changeTimeout)
	for {
		got, err := mc.write(ctx, method, endpoint, path, body)
		switch {
		case err == nil && got.status == want:
			return got, nil
		case err == nil && got.status != http.StatusInternalServerError && got.status/100 != 5:
			return nil, c.refusal(endpoint, got)
		}
		// It may have been done all the same.
		if members, err := c.Members(ctx); err == nil && done(members) {
			return nil, nil
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("asking %s: %w: it may yet be done (hint: look with member list before trying again)", endpoint, err)
		case got.status != http.StatusInternalServerError:
			return nil, fmt.Errorf("%s answers %d: %s: it may yet be done (hint: look with member list before trying again)", endpoint, got.status, got.errorText())
		case time.Now().After(limit):
			return nil, fmt.Errorf("%s answers 500 for %s: etcd takes changes only when enough members have started and been connected for 5 s (hint: its log has the reason; etcd's --strict-reconfig-check makes it so, and --force does not change that)", endpoint, changeTimeout)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(changeRetryEvery):
		}
	}
}

// choose finds a healthy endpoint, at best not the one that leaves.
func (mc *memberClient) chooseEndpoint(ctx context.Context, endpoints []string, h *Health, avoid string) (string, error) {
	second := ""
	var problems []string
	for _, endpoint := range endpoints {
		got, err := mc.get(ctx, http.MethodGet, endpoint, "/health")
		if err != nil {
			problems = append(problems, endpoint+": "+err.Error())
			continue
		}
		if ok, why := healthy(got); !ok {
			problems = append(problems, endpoint+": "+why)
			continue
		}
		if id, ok := mc.memberID(ctx, endpoint); ok {
			if !slices.ContainsFunc(h.Members, func(m MemberHealth) bool { return m.ID == id }) {
				return "", fmt.Errorf("endpoint %s is member %s, of another cluster", endpoint, id)
			}
			if id == avoid {
				second = endpoint
				continue
			}
		}
		return endpoint, nil
	}
	if second == "" {
		return "", fmt.Errorf("no endpoint is healthy: %s", strings.Join(problems, "; "))
	}
	return second, nil
}

// refusal explains a refused change.
func (c *Connection) refusal(endpoint string, got *response) error {
	hint := ""
	switch got.status {
	case http.StatusForbidden:
		hint = ` (hint: the proxy lets nobody change members unless its configuration has [surfaces] members = ["` + c.userOrRoot() + `"], and is not read_only; or ask etcd itself with --endpoints)`
	case http.StatusUnauthorized:
		hint = " (hint: --username and --password-file, of a user that the proxy's surfaces.members names)"
	case http.StatusGone:
		hint = " (hint: it was removed before)"
	}
	return fmt.Errorf("%s answers %d: %s%s", endpoint, got.status, got.errorText(), hint)
}

func (c *Connection) userOrRoot() string {
	if c.User != "" {
		return c.User
	}
	return "root"
}
