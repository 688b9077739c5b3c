package observe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/upstream"
)

// Upstream is how etcd is, seen from here. Leader is the member that leads, by its
// name and id, as the first endpoint that knows tells; empty if none knows of one.
type Upstream struct {
	Leader    string           `json:"leader"`
	LeaderID  string           `json:"leader_id"`
	Endpoints []EndpointStatus `json:"endpoints"`
	Active    int64            `json:"active"`   // requests on their way
	Watching  int64            `json:"watching"` // watches on their way
	Idle      int64            `json:"idle"`     // connections that wait for a request
	Failures  uint64           `json:"dial_failures"`
	Retries   uint64           `json:"retries"`
}

// EndpointStatus is how one endpoint is. Health is "up", "down" (it does not answer, as
// Error says) or "no leader" (it answers, but belongs to no working cluster).
type EndpointStatus struct {
	Endpoint string    `json:"endpoint"`
	Health   string    `json:"health"`
	Role     string    `json:"role"` // "leader", "follower" or empty
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	Took     Float     `json:"took_ms"` // to answer
	Error    string    `json:"error"`
	Avoided  bool      `json:"avoided"` // others are asked in its stead
	Idle     int       `json:"idle"`
	Checked  time.Time `json:"checked"`
}

// members knows how etcd's members are. They are asked only when somebody wants to know,
// and then not again for a while.
type members struct {
	mu      sync.Mutex
	pool    *upstream.Pool // that was asked
	checked time.Time
	state   []EndpointStatus
	leader  member
}

const (
	askMembersEvery = 3 * time.Second
	// memberAnswers is how long one may take: a healthy one takes a millisecond.
	memberAnswers = time.Second
	mostOfMember  = 64 << 10 // bytes of an answer
)

// look tells how the members are; those who come while they are asked wait for it.
func (ms *members) look(pool *upstream.Pool) Upstream {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.pool != pool || time.Since(ms.checked) > askMembersEvery {
		ms.ask(pool)
	}
	count := pool.Counters()
	u := Upstream{
		Leader: ms.leader.Name, LeaderID: ms.leader.ID, Endpoints: append([]EndpointStatus{}, ms.state...),
		Active: count.Active.Load(), Watching: count.Watching.Load(), Idle: count.Idle.Load(), Failures: count.DialFailures.Load(), Retries: count.Retries.Load(),
	}
	for i, state := range pool.States() {
		u.Endpoints[i].Avoided, u.Endpoints[i].Idle = state.Avoided, state.Idle
	}
	return u
}

// Members returns the state of etcd's members.
func (o *Observer) Members(pool *upstream.Pool) Upstream { return o.members.look(pool) }

// ask asks all members at once; ms.mu is held.
func (ms *members) ask(pool *upstream.Pool) {
	// Not the context of who asks first: others wait for the answer as well.
	ctx, cancel := context.WithTimeout(context.Background(), memberAnswers)
	defer cancel()
	states := pool.States()
	ms.state = make([]EndpointStatus, len(states))
	leaders := make([]member, len(states))
	var asking sync.WaitGroup
	for i, state := range states {
		ms.state[i].Endpoint = state.Endpoint.String()
		asking.Go(func() { leaders[i] = askMember(ctx, pool, i, &ms.state[i]) })
	}
	asking.Wait()
	ms.leader = member{}
	for _, leader := range leaders {
		if ms.leader.ID == "" {
			ms.leader = leader
		}
	}
	ms.pool, ms.checked = pool, time.Now()
}

// member is what etcd tells of one.
type member struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// askMember finds out how one member is, and which one it takes for the leader.
func askMember(ctx context.Context, pool *upstream.Pool, at int, status *EndpointStatus) (leader member) {
	began := time.Now()
	var self member
	err := askJSON(ctx, pool, at, "/v2/stats/self", &self)
	took := time.Since(began)
	status.Checked, status.Took = began.UTC(), missing
	if err != nil {
		status.Health, status.Error = "down", reason(err)
		return member{}
	}
	status.Health, status.Name, status.Took = "up", self.shown().Name, Float(took.Seconds()*1000)
	var version struct {
		Server string `json:"etcdserver"`
	}
	if askJSON(ctx, pool, at, "/version", &version) == nil {
		status.Version = printable(shorten(version.Server))
	}
	// Its own statistics name a leader that is gone; this one is the truth.
	if err := askJSON(ctx, pool, at, "/v2/members/leader", &leader); err != nil || leader.ID == "" {
		status.Health, status.Error = "no leader", "it knows of no leader"
		if err != nil {
			status.Error = reason(err)
		}
		return member{}
	}
	status.Role = "follower"
	if leader.ID == self.ID {
		status.Role = "leader"
	}
	return leader.shown()
}

// shown is what may be shown of a member: etcd could say anything.
func (m member) shown() member {
	return member{ID: printable(shorten(m.ID)), Name: printable(shorten(m.Name))}
}

func askJSON(ctx context.Context, pool *upstream.Pool, at int, target string, into any) error {
	resp, err := pool.DoAt(ctx, at, &upstream.Request{Method: "GET", Target: target, Accept: "application/json"})
	if err != nil {
		return err
	}
	defer resp.Close()
	data, err := io.ReadAll(io.LimitReader(resp, mostOfMember))
	if err != nil {
		return err
	}
	if resp.Status != 200 {
		return fmt.Errorf("%s is answered with %d", target, resp.Status)
	}
	if json.Unmarshal(data, into) != nil {
		return fmt.Errorf("%s is not answered as etcd does", target)
	}
	return nil
}

// reason is an error without what the endpoint's row says already.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %v", memberAnswers)
	}
	var failed *upstream.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return printable(shorten(err.Error()))
}
