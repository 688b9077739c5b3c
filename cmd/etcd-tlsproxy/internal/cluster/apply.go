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

// etcd accepts membership changes only after the member that gets the request has been
// connected to the others for 5 s. Until then it answers 500 without a reason.
const (
	changeTimeout    = 10 * time.Second
	changeRetryEvery = 500 * time.Millisecond
)

// ApplyAdd adds a member and returns its id.
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
		return "", errors.New("the member was added, but the response does not contain its id (hint: see member list)")
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

// change sends the request to one endpoint only: the library would send it to the next
// one as well if the first did not answer. It returns nil without an error if no usable
// response arrived but the list of members shows that the change was made.
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
		// etcd may have made the change although it did not say so.
		if members, err := c.Members(ctx); err == nil && done(members) {
			return nil, nil
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("sending the change to %s: %w: it may still take effect (hint: check with member list before you try again)", endpoint, err)
		case got.status != http.StatusInternalServerError:
			return nil, fmt.Errorf("%s answers %d: %s: the change may still take effect (hint: check with member list before you try again)", endpoint, got.status, got.errorText())
		case time.Now().After(limit):
			return nil, fmt.Errorf("%s has answered 500 for %s: etcd accepts changes only when enough members have started and have been connected for 5 s (hint: its log has the reason; this is etcd's --strict-reconfig-check, which --force does not override)", endpoint, changeTimeout)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(changeRetryEvery):
		}
	}
}

// chooseEndpoint returns a healthy endpoint, preferably not the member to avoid, which is
// about to be removed.
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
				return "", fmt.Errorf("endpoint %s is member %s of another cluster", endpoint, id)
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

// refusal is the error of a refused change, with a hint.
func (c *Connection) refusal(endpoint string, got *response) error {
	hint := ""
	switch got.status {
	case http.StatusForbidden:
		if strings.Contains(got.errorText(), "upstream.user") {
			hint = " (hint: make the change with etcdctl, as a user with that role, and start the member with the settings of bootstrap)"
			break
		}
		hint = ` (hint: the proxy refuses membership changes unless its configuration has [surfaces] members = ["` + c.userOrRoot() + `"], and is not read_only; or connect to etcd itself with --endpoints)`
	case http.StatusUnauthorized:
		hint = " (hint: give --user and --password-file of a user that surfaces.members of the proxy names; a member refuses the change after migrate switch, so give the URL of a proxy)"
	case http.StatusGone:
		hint = " (hint: the member was already removed)"
	}
	return fmt.Errorf("%s answers %d: %s%s", endpoint, got.status, got.errorText(), hint)
}

func (c *Connection) userOrRoot() string {
	if c.User != "" {
		return c.User
	}
	return "root"
}
