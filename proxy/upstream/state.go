package upstream

import "time"

// State is the state of one endpoint in the pool.
type State struct {
	Endpoint Endpoint
	// Avoided is set while requests go to other endpoints because this one is down. A probe
	// dials it then.
	Avoided bool
	// AvoidedSince is when that began.
	AvoidedSince time.Time
	// Idle is the number of its idle connections.
	Idle int
}

// States returns the state of each endpoint, in the order of preference.
func (p *Pool) States() []State {
	states := make([]State, 0, len(p.endpoints))
	for _, e := range p.endpoints {
		e.mu.Lock()
		state := State{Endpoint: e.Endpoint, Avoided: e.down.Load(), Idle: len(e.idle)}
		if state.Avoided {
			state.AvoidedSince = e.since
		}
		states = append(states, state)
		e.mu.Unlock()
	}
	return states
}
