package victim

import (
	"context"
	"sync"
	"time"
)

// Kind is a kind of request that victims make again and again.
type Kind struct {
	Name string
	// Rate is the number of requests in a second.
	Rate float64
	// Request returns request number n.
	Request func(n int) *Request
}

// Group is the victims of one siege.
type Group struct {
	Client *Client
	Kinds  []Kind

	mu      sync.Mutex
	phase   string
	figures map[string]map[string]*Figures // by phase and kind
	running sync.WaitGroup
}

// Enter begins a phase. Requests count for the phase in which they are due.
func (g *Group) Enter(phase string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.phase = phase
}

// Start makes requests until ctx ends. The caller must call Wait.
func (g *Group) Start(ctx context.Context) {
	g.figures = make(map[string]map[string]*Figures)
	for i := range g.Kinds {
		g.running.Go(func() { g.repeat(ctx, &g.Kinds[i]) })
	}
}

// Wait waits for the answers of all requests after the end of the context.
func (g *Group) Wait() { g.running.Wait() }

// Figures returns the figures of a phase by kind, after Wait.
func (g *Group) Figures(phase string) map[string]*Figures { return g.figures[phase] }

func (g *Group) repeat(ctx context.Context, k *Kind) {
	interval := time.Duration(float64(time.Second) / k.Rate)
	due := time.Now()
	for n := 0; ; n++ {
		timer := time.NewTimer(time.Until(due))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		figures, at := g.current(k.Name), due
		g.running.Go(func() {
			err := g.Client.Do(k.Request(n))
			g.mu.Lock()
			defer g.mu.Unlock()
			figures.record(time.Since(at), err)
		})
		due = due.Add(interval)
	}
}

// current returns the figures of a kind in the present phase.
func (g *Group) current(kind string) *Figures {
	g.mu.Lock()
	defer g.mu.Unlock()
	kinds := g.figures[g.phase]
	if kinds == nil {
		kinds = make(map[string]*Figures)
		g.figures[g.phase] = kinds
	}
	if kinds[kind] == nil {
		kinds[kind] = newFigures()
	}
	return kinds[kind]
}
