package observe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"etcd-tlsproxy/proxy/upstream"
)

// Upstream is the state of etcd as seen from here. Leader and LeaderID are the name and the
// id of the leader according to the first endpoint that knows one; they are empty if none
// does.
type Upstream struct {
	Leader    string           `json:"leader"`    // the leader's name
	LeaderID  string           `json:"leader_id"` // the leader's id
	Endpoints []EndpointStatus `json:"endpoints"` // the endpoints, the preferred first
	// Since is the beginning of the outage of etcd: its last answer before the first request or
	// probe that failed, or the start of the proxy; it may be a second too early. It stays the
	// same during the outage, and is the zero time if there is none. See "Service log" for when
	// an outage has ended.
	Since time.Time `json:"failing_since"`
	// Recovered is the time of the first request or probe that etcd answered after the last
	// failure of the outage. It is the zero time if it has answered none since, or if there is
	// no outage.
	Recovered time.Time `json:"recovered_at"`
	Active    int64     `json:"active"`        // requests in flight
	Watching  int64     `json:"watching"`      // watches in flight
	Idle      int64     `json:"idle"`          // connections that wait for a request
	Failures  uint64    `json:"dial_failures"` // attempts to connect that failed
	Retries   uint64    `json:"retries"`       // requests that were sent again
}

// EndpointStatus is the state of one endpoint. Health is "up", "down" (it does not answer;
// Error has the reason) or "no leader" (it answers, but belongs to no working cluster).
type EndpointStatus struct {
	Endpoint string `json:"endpoint"` // its URL
	Health   string `json:"health"`   // see above
	Role     string `json:"role"`     // "leader", "follower" or empty
	Name     string `json:"name"`     // the member's name
	Version  string `json:"version"`  // the member's version of etcd
	Took     Float  `json:"took_ms"`  // time until it answered
	Error    string `json:"error"`    // why it is down
	// Since is when the endpoint was first found not to be up: by a request, or by a probe.
	// Each scrape and each look at the status makes one and, with the v2 API, the proxy itself
	// while etcd answers no requests. It is the zero time if it is up.
	Since   time.Time `json:"failing_since"`
	Avoided bool      `json:"avoided"` // requests go to other endpoints instead
	Idle    int       `json:"idle"`    // connections that wait for a request
	Checked time.Time `json:"checked"` // time of the last probe

	silent bool // nothing answered, not even something else than etcd
}

// Silent reports whether nothing answered at the endpoint. What answers in its own way, such as
// another proxy that closes the statistics, may serve keys.
func (e *EndpointStatus) Silent() bool { return e.silent }

// addOutage adds the outage of etcd. It has begun as well if only the probes of the endpoints
// have found it so far: somebody looks, and there are no requests.
func (u *Upstream) addOutage(s *State) {
	u.Since, u.Recovered = s.UpstreamFailing, s.UpstreamRecovered
	if !u.Since.IsZero() {
		return
	}
	for i := range u.Endpoints {
		e := &u.Endpoints[i]
		if e.Health != "down" || len(s.Stores) == 0 && !e.Silent() || !e.Checked.After(s.UpstreamAnswered) {
			return
		}
	}
	u.Since = s.UpstreamAnswered
}

// Members reports the state of etcd behind a pool. It probes etcd's members unless that
// was done within the last seconds.
func (o *Observer) Members(pool *upstream.Pool) Upstream { return members(pool, o.prober.Status(pool)) }

// MembersNow is like Members, but always probes them.
func (o *Observer) MembersNow(pool *upstream.Pool) Upstream { return members(pool, o.prober.Now(pool)) }

func members(pool *upstream.Pool, cluster upstream.Cluster) Upstream {
	count := pool.Counters()
	u := Upstream{
		Leader: shown(cluster.Leader.Name), LeaderID: shown(cluster.Leader.ID), Endpoints: make([]EndpointStatus, 0, len(cluster.Members)),
		Active: count.Active.Load(), Watching: count.Watching.Load(), Idle: count.Idle.Load(),
		Failures: count.DialFailures.Load(), Retries: count.Retries.Load(),
	}
	for i := range cluster.Members {
		u.Endpoints = append(u.Endpoints, endpointStatus(&cluster.Members[i]))
	}
	return u
}

func endpointStatus(m *upstream.MemberStatus) EndpointStatus {
	status := EndpointStatus{
		Endpoint: m.Endpoint.String(), Name: shown(m.Member.Name), Version: shown(m.Version), Took: missing,
		Avoided: m.Avoided, Idle: m.Idle, Checked: m.Checked,
		Since: m.FailingSince,
	}
	var failure *upstream.Error
	status.silent = errors.As(m.Err, &failure)
	if m.Answered {
		status.Took = Float(m.Duration.Seconds() * 1000)
	}
	switch {
	case !m.Answered:
		status.Health, status.Error, status.Name = "down", reason(m.Err), ""
	case m.Err != nil:
		status.Health, status.Error = "no leader", reason(m.Err)
	case m.Leads:
		status.Health, status.Role = "up", "leader"
	default:
		status.Health, status.Role = "up", "follower"
	}
	return status
}

// shown is text from etcd in a form that is safe to show: etcd could send anything.
func shown(text string) string { return printable(shorten(text)) }

// reason is an error without the parts that the endpoint's row shows already.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %v", upstream.ProbeTimeout)
	}
	var failure *upstream.Error
	if errors.As(err, &failure) {
		err = failure.Err
	}
	return shown(err.Error())
}
