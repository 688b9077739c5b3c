package daemon

import (
	"context"
	"fmt"
	"hash/maphash"
	"os"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/upstream"
)

// Report is the result of checking a configuration and all files that it names.
type Report struct {
	Rules, Users int
	Warnings     []string
	// Origin says what etcd receives to identify the sender of a request.
	Origin string
	// SRV is the domain whose records name the endpoints, or "".
	SRV string
	// Found are the endpoints that DNS returned, the preferred first.
	Found []upstream.Endpoint
}

// Check reads all files like [Run], and reports everything that is wrong with
// them. It needs the network only if resolve is true, to look up upstream.srv.
func Check(ctx context.Context, file string, resolve bool) (*Report, error) {
	loader := &loader{file: file, seed: maphash.MakeSeed()}
	state, err := loader.read()
	if err != nil {
		return nil, err
	}
	report := &Report{
		Rules: len(state.config.ACLs), Users: state.snapshot.Users.Len(), Warnings: state.warnings, SRV: state.config.Upstream.SRV,
		Origin: describeOrigin(&state.config.Upstream),
	}
	if resolve {
		if err := loader.discover(ctx, state, nil); err != nil {
			return nil, err
		}
		report.Found = state.endpoints
	}
	return report, nil
}

// DecisionTable returns a policy for explanations. It reads only the configuration file, so
// the policy has no users and no certificates.
func DecisionTable(file string) (*gate.Policy, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := config.Parse(file, text)
	if err != nil {
		return nil, err
	}
	return &gate.Policy{
		Rules: c.Rules, Surfaces: surfaces(c.Surfaces), ReadOnly: c.ReadOnly, MaxTarget: c.Limits.TargetBytes, EtcdUsers: etcdUsers(&c.Upstream),
	}, nil
}

// surfaces converts the names of surfaces to the proxy's values.
func surfaces(named map[string]acl.Group) map[gate.Surface]acl.Group {
	opened := make(map[gate.Surface]acl.Group, len(named))
	for name, group := range named {
		surface, ok := gate.ParseSurface(name)
		if !ok {
			panic("BUG: the configuration accepts an unknown surface: " + name)
		}
		opened[surface] = group
	}
	return opened
}
