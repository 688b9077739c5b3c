package daemon

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"slices"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/preflight"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/upstream"
)

// Report is the result of checking a configuration and all files that it names.
type Report struct {
	Rules, Users int
	// Warnings are about the contents of the files. Local are those that also depend on
	// this machine and on the time.
	Warnings, Local []string
	// Origin says what etcd receives to identify the sender of a request.
	Origin string
	// SRV is the domain whose records name the endpoints, or "".
	SRV string
	// Show writes the settings that are in force and where each comes from.
	Show func(io.Writer) error
	// Shares are what one client can hold while nobody else wants it.
	Shares []preflight.Share
	// Found are the endpoints that DNS returned, the preferred first.
	Found []upstream.Endpoint
}

// CheckOptions says what to check besides the files.
type CheckOptions struct {
	File string
	// Resolve looks up upstream.srv, which needs the network.
	Resolve bool
	// Start also checks that a start would succeed: it listens on the addresses for a
	// moment, so it fails while the service runs.
	Start bool
}

// Check reads all files like [Run], and reports everything that is wrong with them. What
// would make a start fail but not a reload is an error only with Start.
func Check(ctx context.Context, o CheckOptions) (*Report, error) {
	loader := &loader{file: o.File, seed: maphash.MakeSeed()}
	state, err := loader.read()
	if err != nil {
		return nil, err
	}
	problems := preflight.CheckStart(ctx, state.config, state.doc, o.Start)
	if o.Start && problems != nil {
		return nil, problems
	}
	disk := loader.disk()
	local := &preflight.State{Config: state.config, Document: state.doc, Certificates: state.snapshot.Certs.Certificates()}
	secret := func(name string, key ...string) {
		if name != "" {
			local.Secrets = append(local.Secrets, preflight.Secret{Path: disk.Path(name), Key: key})
		}
	}
	for _, name := range state.config.TLS.Key {
		secret(name, "tls", "key")
	}
	secret(state.config.Upstream.Key, "upstream", "key")
	secret(state.config.Upstream.PasswordFile, "upstream", "password_file")
	report := &Report{
		Rules: len(state.config.ACLs), Users: state.snapshot.Users.Len(), Warnings: state.warnings, SRV: state.config.Upstream.SRV,
		Shares: preflight.Shares(state.config, preflight.OpenFiles()),
		Origin: describeOrigin(&state.config.Upstream),
		Show:   func(w io.Writer) error { return state.doc.Show(w, state.config, nil) },
		Local:  slices.Concat(local.Advise(time.Now()), preflight.AsWarnings(problems)),
	}
	report.Warnings = append(report.Warnings, local.CheckShares()...)
	if o.Resolve {
		if err := loader.discover(ctx, state, nil); err != nil {
			return nil, err
		}
		report.Found, report.Warnings = state.endpoints, state.warnings
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
