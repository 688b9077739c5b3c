package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Cluster is the state of etcd as seen from here.
type Cluster struct {
	// Leader is the leader according to the first endpoint that knows one. It is zero if
	// none does.
	Leader Member
	// Members has one entry for each endpoint, in the order of preference.
	Members []MemberStatus
}

// Member names a member. Its strings come from etcd and are not checked.
type Member struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// MemberStatus is the result of probing one endpoint.
type MemberStatus struct {
	State
	// Member and Version are the endpoint's report about itself.
	Member  Member
	Version string
	// Answered is set if the endpoint answered at all, after Duration. Leads is set if
	// the member is the leader.
	Answered, Leads bool
	Duration        time.Duration
	// Err is set if the endpoint did not answer, or reports no leader.
	Err error
	// Checked is when the probe started, in UTC.
	Checked time.Time
	// FailingSince is when the first probe or request failed since the last probe without Err,
	// in UTC. It is zero if Err is nil.
	FailingSince time.Time
}

const (
	probeInterval = 3 * time.Second
	// ProbeTimeout bounds the probe of one member. A healthy one takes a millisecond.
	ProbeTimeout   = time.Second
	maxProbeAnswer = 64 << 10 // bytes
)

// Prober determines the state of etcd's members. It sends requests only when Status is
// called, and then at most every three seconds, or Now. The zero Prober is ready to use.
type Prober struct {
	mu      sync.Mutex
	pool    *Pool // the one that was probed
	checked time.Time
	members []MemberStatus
	leader  Member
	failing map[Endpoint]time.Time // since when
}

// Status returns the state of the members behind pool. Concurrent callers wait for the
// same probe.
func (p *Prober) Status(pool *Pool) Cluster { return p.status(pool, probeInterval) }

// Now is like Status, but always sends requests.
func (p *Prober) Now(pool *Pool) Cluster { return p.status(pool, 0) }

// status returns a state that is at most as old as maxAge.
func (p *Prober) status(pool *Pool, maxAge time.Duration) Cluster {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pool != pool || maxAge == 0 || time.Since(p.checked) > maxAge {
		p.probe(pool)
	}
	members := append([]MemberStatus(nil), p.members...)
	for i, state := range pool.States() {
		members[i].State = state
	}
	return Cluster{Leader: p.leader, Members: members}
}

// probe probes all members at once; p.mu is held.
func (p *Prober) probe(pool *Pool) {
	// The context of the first caller must not end the probe, because others wait for it.
	ctx, cancel := context.WithTimeout(context.Background(), ProbeTimeout)
	defer cancel()
	p.members = make([]MemberStatus, len(pool.endpoints))
	leaders := make([]Member, len(pool.endpoints))
	var probes sync.WaitGroup
	for i, e := range pool.endpoints {
		probes.Go(func() { p.members[i], leaders[i] = pool.probeMember(ctx, e) })
	}
	probes.Wait()
	p.leader = Member{}
	for _, leader := range leaders {
		if p.leader.ID == "" {
			p.leader = leader
		}
	}
	p.pool, p.checked = pool, time.Now()
	p.noteFailing(pool.States())
}

// noteFailing notes since when members fail; p.mu is held. A request may have failed long
// before somebody asked for the state.
func (p *Prober) noteFailing(states []State) {
	failing := make(map[Endpoint]time.Time)
	for i := range p.members {
		m, at := &p.members[i], states[i].Endpoint
		if m.Err == nil {
			continue
		}
		since, known := p.failing[at]
		if avoided := states[i].AvoidedSince; !known {
			since = m.Checked
			if !avoided.IsZero() && avoided.Before(since) {
				since = avoided.UTC()
			}
		}
		failing[at], m.FailingSince = since, since
	}
	p.failing = failing
}

var errNoLeader = errors.New("the member reports no leader")

// probeMember returns the state of one member and the leader according to it.
func (p *Pool) probeMember(ctx context.Context, e *endpoint) (status MemberStatus, leader Member) {
	status.Checked = time.Now().UTC()
	if p.o.Probe != nil {
		leader, status.Err = p.ask(ctx, e, &status)
	} else {
		leader, status.Err = p.askV2(ctx, e, &status)
	}
	if status.Answered && status.Err == nil && leader.ID == "" {
		status.Err = errNoLeader
	}
	if status.Err != nil {
		return status, Member{}
	}
	status.Leads = leader.ID == status.Member.ID
	return status, leader
}

// askV2 asks a member by the v2 API.
func (p *Pool) askV2(ctx context.Context, e *endpoint, status *MemberStatus) (leader Member, err error) {
	if err := p.getJSON(ctx, e, "/v2/stats/self", &status.Member); err != nil {
		return Member{}, err
	}
	status.answered()
	var version struct {
		Server string `json:"etcdserver"`
	}
	if p.getJSON(ctx, e, "/version", &version) == nil {
		status.Version = version.Server
	}
	// The member's own statistics may name a leader that is gone. This answer is current.
	err = p.getJSON(ctx, e, "/v2/members/leader", &leader)
	return leader, err
}

// Probed is what a member says about itself, and about the leader, if it knows one.
type Probed struct {
	Member, Leader Member
	Version        string
}

// ask asks a member by Options.Probe.
func (p *Pool) ask(ctx context.Context, e *endpoint, status *MemberStatus) (leader Member, err error) {
	own, err := p.o.Probe(ctx, e.Endpoint)
	if err != nil {
		return Member{}, err
	}
	status.answered()
	status.Member, status.Version = own.Member, own.Version
	return own.Leader, nil
}

// answered records that the member has answered.
func (s *MemberStatus) answered() { s.Answered, s.Duration = true, time.Since(s.Checked) }

func (p *Pool) getJSON(ctx context.Context, e *endpoint, target string, into any) error {
	resp, err := p.do(ctx, &Request{Method: "GET", Target: target, Accept: "application/json"}, e)
	if err != nil {
		return err
	}
	defer resp.Close()
	data, err := io.ReadAll(io.LimitReader(resp, maxProbeAnswer))
	if err != nil {
		return err
	}
	if resp.Status != 200 {
		return fmt.Errorf("GET %s: got status %d, want 200", target, resp.Status)
	}
	if json.Unmarshal(data, into) != nil {
		return fmt.Errorf("GET %s: the response is not from etcd", target)
	}
	return nil
}
