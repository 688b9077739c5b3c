package cluster

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Limits are from where on a healthy cluster is worth a word.
type Limits struct {
	// Behind is how many entries of the log a member may be behind.
	BehindWarning, BehindCritical uint64
	// Expiry is how long certificates should last yet.
	ExpiryWarning, ExpiryCritical time.Duration
	// Margin is how many more members should be able to fail.
	MarginWarning, MarginCritical int
	// ProxyPorts are those of proxies: a URL with another one bypasses them. Empty
	// is any.
	ProxyPorts []int
}

// Severity is how bad a finding is; the numbers are Icinga's exit statuses.
type Severity int

// The severities.
const (
	OK Severity = iota
	Warning
	Critical
	Unknown
)

// String is as Icinga writes it.
func (s Severity) String() string { return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[s] }

// MarshalText makes it readable in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing that is not as it should be.
type Finding struct {
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
}

// Judge finds what is not as it should be, at a time.
func (h *Health) Findings(l Limits, now time.Time) []Finding {
	c := &checker{limits: l, now: now, findings: []Finding{}}
	switch {
	case h.Margin < 0:
		c.add(Critical, "there is no quorum: %d of %d members are healthy, and %d have to be", h.Healthy, len(h.Members), h.Quorum)
	case h.LeaderID == "":
		c.add(Critical, "no healthy member knows a leader")
	case h.Margin < l.MarginCritical:
		c.add(Critical, "only %d more members may fail", h.Margin)
	case h.Margin < l.MarginWarning:
		c.add(Warning, "only %d more members may fail", h.Margin)
	}
	for i := range h.Members {
		c.checkMember(h, &h.Members[i])
	}
	c.compareMembers(h)
	return c.findings
}

// Worst is the worst of findings.
func Worst(findings []Finding) Severity {
	worst := OK
	for _, f := range findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

type checker struct {
	limits   Limits
	now      time.Time
	findings []Finding
}

func (c *checker) add(s Severity, form string, args ...any) {
	c.findings = append(c.findings, Finding{s, fmt.Sprintf(form, args...)})
}

func (c *checker) checkMember(h *Health, m *MemberHealth) {
	if problem := m.Problem(); problem != "" {
		c.add(Warning, "member %s is %s: %s", m.Label(), m.State, problem)
	}
	for _, u := range m.URLs {
		if m.State == Healthy && u.State != Healthy {
			c.add(Warning, "member %s: %s is %s: %s", m.Label(), u.URL, u.State, u.Problem)
		}
		c.checkURL(m, &u)
	}
	if m.Behind != nil {
		switch behind := *m.Behind; {
		case behind >= c.limits.BehindCritical:
			c.add(Critical, "member %s is %d entries behind", m.Label(), behind)
		case behind >= c.limits.BehindWarning:
			c.add(Warning, "member %s is %d entries behind", m.Label(), behind)
		}
	}
	if m.State == Healthy && m.follows != "" && m.follows != h.LeaderID {
		c.add(Warning, "member %s follows %s, others follow %s", m.Label(), m.follows, h.LeaderID)
	}
}

func (c *checker) checkURL(m *MemberHealth, u *URLHealth) {
	if parsed, err := url.Parse(u.URL); err == nil {
		switch {
		case parsed.Scheme != "https":
			c.add(Warning, "member %s advertises %s, which is not https: clients go there past the proxy", m.Label(), u.URL)
		case len(c.limits.ProxyPorts) > 0 && !slices.Contains(c.limits.ProxyPorts, portOf(parsed)):
			c.add(Warning, "member %s advertises %s, which is not a proxy's port: clients go there past the proxy", m.Label(), u.URL)
		}
	}
	if u.Expires == nil {
		return
	}
	// Days are what operators think in, and names of the time of day tell nothing.
	left, day := u.Expires.Sub(c.now), u.Expires.UTC().Format(time.DateOnly)
	switch {
	case left <= 0:
		c.add(Critical, "the certificate at %s expired on %s", u.URL, day)
	case left < c.limits.ExpiryCritical:
		c.add(Critical, "the certificate at %s expires on %s", u.URL, day)
	case left < c.limits.ExpiryWarning:
		c.add(Warning, "the certificate at %s expires on %s", u.URL, day)
	}
}

func portOf(u *url.URL) int {
	if u.Port() == "" {
		return 443
	}
	port, _ := strconv.Atoi(u.Port()) // 0 is no proxy's
	return port
}

// together compares the members with each other.
func (c *checker) compareMembers(h *Health) {
	versions, clusters, schemes := make(map[string]string), make(map[string]string), make(map[string]string)
	loopbackPeer, others := "", false
	for _, m := range h.Members {
		record(versions, m.Version, m.Label())
		record(clusters, m.cluster, m.Label())
		for _, text := range m.PeerURLs {
			u, err := url.Parse(text)
			if err != nil {
				continue
			}
			record(schemes, u.Scheme, m.Label())
			if loopback(u.Hostname()) {
				loopbackPeer = m.Label() + " has the peer URL " + text
			} else {
				others = true
			}
		}
	}
	c.addDifference(Warning, "run different versions", versions)
	c.addDifference(Critical, "belong to different clusters", clusters)
	c.addDifference(Warning, "have peer URLs of different schemes", schemes)
	if loopbackPeer != "" && others {
		c.add(Warning, "member %s, which other machines cannot reach (hint: a member that was started with --force-new-cluster has it; update its peer URL)", loopbackPeer)
	}
	if even := EvenWarning(len(h.Members)); even != "" {
		c.add(Warning, "%s", even)
	}
}

// note remembers one member for each value.
func record(values map[string]string, value, member string) {
	if value != "" {
		values[value] = member
	}
}

func (c *checker) addDifference(s Severity, how string, values map[string]string) {
	if len(values) < 2 {
		return
	}
	text := ""
	for _, value := range slices.Sorted(maps.Keys(values)) {
		text += fmt.Sprintf(", %s (%s)", value, values[value])
	}
	c.add(s, "members %s: %s", how, text[2:])
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
