package upstream

import "context"

// State is what the pool knows of an endpoint.
type State struct {
	Endpoint Endpoint
	// Avoided is set while others are asked in its stead, and a probe dials it.
	Avoided bool
	// Idle are the connections to it that wait for a request.
	Idle int
}

// States tells of each endpoint, in the order of preference.
func (p *Pool) States() []State {
	states := make([]State, 0, len(p.endpoints))
	for _, e := range p.endpoints {
		e.mu.Lock()
		states = append(states, State{Endpoint: e.Endpoint, Avoided: e.down.Load(), Idle: len(e.idle)})
		e.mu.Unlock()
	}
	return states
}

// DoAt is [Pool.Do] at one endpoint, by its place in the order of preference, whether it
// is avoided or not, and once: whoever asks wants to know how it is.
func (p *Pool) DoAt(ctx context.Context, endpoint int, req *Request) (*Response, error) {
	slot := slotFor(req)
	if busy := p.enter(ctx, slot); busy != nil {
		return nil, busy
	}
	e := p.endpoints[endpoint]
	c := e.take() // not one that was closed
	if c == nil {
		var err error
		if c, err = e.dial(ctx); err != nil {
			p.leave(slot)
			if ctx.Err() != nil {
				return nil, &Error{Kind: Canceled, Endpoint: e.String(), Err: context.Cause(ctx)}
			}
			return nil, &Error{Kind: Unreachable, Endpoint: e.String(), Err: err}
		}
	}
	r := c.use(ctx, slot, req)
	err := c.exchange(ctx, req)
	if err == nil {
		err = r.begin()
	}
	if err != nil {
		r.disconnect()
		p.leave(slot)
		return nil, classify(ctx, e, req.Method, err)
	}
	return r, nil
}

// Counters are those the pool counts on.
func (p *Pool) Counters() *Counters { return p.count }
