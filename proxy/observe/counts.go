package observe

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
)

// counter counts the gate's decisions about one rule or one user, by [acl.Access].
type counter struct {
	allowed, refused [2]atomic.Uint64
}

func (c *counter) add(op *gate.Operation, refusal *gate.Refusal) {
	if refusal == nil {
		c.allowed[op.Access].Add(1)
	} else {
		c.refused[op.Access].Add(1)
	}
}

// DecisionCounts are the counts of one policy. Its maps do not change, so that requests
// count without a lock. The counts of rules and users that stay the same continue under
// the next policy.
type DecisionCounts struct {
	rules     *acl.Rules
	users     *acl.Users
	byRule    map[acl.Key]ruleCounts
	byUser    map[string]*counter // users with a password
	byName    *certUsers          // users with a certificate
	anonymous *counter            // clients that did not have to identify themselves, or could not
}

type ruleCounts struct {
	rule *acl.Rule
	*counter
}

// CountsFor returns the counts for a policy that follows the one of old, which is nil
// for the first policy. The same rules and users continue with their counters.
func CountsFor(p *gate.Policy, old *DecisionCounts) *DecisionCounts {
	if old == nil {
		old = &DecisionCounts{byName: &certUsers{}, anonymous: &counter{}}
	}
	if old.rules == p.Rules && old.users == p.Users {
		return old
	}
	d := &DecisionCounts{rules: p.Rules, users: p.Users, byRule: old.byRule, byUser: old.byUser, byName: old.byName, anonymous: old.anonymous}
	if old.rules != p.Rules {
		d.byRule = make(map[acl.Key]ruleCounts)
		for _, rule := range p.Rules.All() {
			if rule.Implied() {
				continue
			}
			same := old.byRule[rule.Prefix]
			if same.counter == nil || !same.rule.Equal(rule) {
				same.counter = &counter{}
			}
			d.byRule[rule.Prefix] = ruleCounts{rule, same.counter}
		}
	}
	if old.users != p.Users {
		d.byUser = make(map[string]*counter, p.Users.Len())
		for _, name := range p.Users.Names() {
			d.byUser[name] = old.byUser[name]
			if d.byUser[name] == nil {
				d.byUser[name] = &counter{}
			}
		}
	}
	return d
}

// written returns the rules of the table, without the implied one.
func (d *DecisionCounts) written() []*acl.Rule {
	return slices.DeleteFunc(d.rules.All(), (*acl.Rule).Implied)
}

// add counts a decision. It allocates nothing, and takes a lock only for the first
// request of a certificate's name.
func (d *DecisionCounts) add(op *gate.Operation, refusal *gate.Refusal) {
	if rule := d.byRule[op.Rule]; op.Rule != "" && rule.counter != nil {
		rule.add(op, refusal)
	}
	d.of(&op.Identity).add(op, refusal)
}

// of returns the counter of a client whose identity was verified.
func (d *DecisionCounts) of(identity *gate.Identity) *counter {
	switch identity.Known {
	case gate.ByPassword:
		if c := d.byUser[identity.Name]; c != nil {
			return c
		}
	case gate.ByCertificate:
		return d.byName.of(identity.Name)
	}
	return d.anonymous
}

// certUsers are the counters of users that were identified by certificates. No file lists
// these users, and a CA may have signed millions of certificates, so their number is
// bounded.
type certUsers struct {
	mu     sync.Mutex // held to add one
	known  atomic.Pointer[map[string]*counter]
	others counter // the users beyond the bound
}

const maxCertUsers = 500

func (cu *certUsers) all() map[string]*counter {
	if known := cu.known.Load(); known != nil {
		return *known
	}
	return nil
}

func (cu *certUsers) of(name string) *counter {
	known := cu.all()
	if c := known[name]; c != nil {
		return c
	}
	if len(known) >= maxCertUsers {
		return &cu.others
	}
	return cu.add(name)
}

func (cu *certUsers) add(name string) *counter {
	cu.mu.Lock()
	defer cu.mu.Unlock()
	known := cu.all()
	if c := known[name]; c != nil {
		return c
	}
	if len(known) >= maxCertUsers {
		return &cu.others
	}
	more := make(map[string]*counter, len(known)+1)
	maps.Copy(more, known)
	c := &counter{}
	more[strings.Clone(name)] = c
	cu.known.Store(&more)
	return c
}

// The closed sets of label values. Any other value is "other", so that a client cannot
// add series.
var (
	methodLabels = [...]string{"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "other"}
	codeLabels   = [...]string{"200", "201", "204", "307", "400", "401", "403", "404", "405", "408", "412", "413",
		"414", "417", "429", "431", "500", "501", "502", "503", "504", "505", "507", "other"}
)

// startSeries makes the series whose first increase must not be missed: Prometheus sees no
// increase in a series that begins with 1.
func (m *Metrics) startSeries() {
	each := func(v *prometheus.CounterVec, values ...string) {
		for _, value := range values {
			v.WithLabelValues(value)
		}
	}
	each(m.recordsLost, "access", "audit")
	each(m.reloads, "ok", "failed")
	each(m.refreshes, "ok", "failed")
	each(m.refusedConns, "connections", "address", "memory", "proxy_header")
	each(m.handshakes, "full", "resumed", "failed", "timeout", "plain_http")
	each(m.handshakeFailures, "client_gone", "timeout", "plain_http", "no_tls", "no_certificate", "untrusted_certificate", "expired_certificate",
		"rejected_by_client", "version", "cipher", "too_large", "draining", "other")
	each(m.upstreamFailures, "unreachable", "busy", "too_long", "lost", "broken", "timeout")
	for _, method := range []string{"GET", "HEAD", "PUT", "POST", "DELETE"} {
		for _, code := range []string{"200", "201", "400", "401", "403", "404", "412", "500", "502", "503", "504"} {
			m.requests.WithLabelValues(gate.Keys.String(), method, code)
		}
	}
	for _, access := range []acl.Access{acl.Read, acl.Write} {
		for _, reason := range gate.Reasons() {
			m.refusals.WithLabelValues(access.String(), reason)
		}
	}
	for s := range gate.Surface(gate.NumSurfaces) {
		for _, access := range []acl.Access{acl.Read, acl.Write} {
			for _, reason := range gate.DecisionReasons() {
				m.decisions.WithLabelValues(s.String(), access.String(), reason)
			}
		}
	}
}

func methodLabel(method string) int {
	if i := slices.Index(methodLabels[:], method); i >= 0 {
		return i
	}
	return len(methodLabels) - 1
}

func codeLabel(status int) int {
	if status == 200 {
		return 0
	}
	if i := slices.Index(codeLabels[:], strconv.Itoa(status)); i >= 0 {
		return i
	}
	return len(codeLabels) - 1
}
