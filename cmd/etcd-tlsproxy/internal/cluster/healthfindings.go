package cluster

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize/english"
)

// Limits says when a healthy cluster deserves a warning.
type Limits struct {
	// A member that is this many log entries behind is reported.
	BehindWarning, BehindCritical uint64
	// A certificate that expires sooner than this is reported.
	ExpiryWarning, ExpiryCritical time.Duration
	// A cluster in which fewer members than this may still fail is reported.
	MarginWarning, MarginCritical int
	// ProxyPorts are the ports of proxies of other kinds. An advertised URL with another port
	// bypasses all proxies, unless etcd-tlsproxy answers there. An empty list allows every port.
	ProxyPorts []int
}

// Severity is the severity of a finding. The numbers are Icinga's exit statuses.
type Severity int

// The severities.
const (
	OK Severity = iota
	Warning
	Critical
	Unknown
)

// String returns the severity in Icinga's spelling.
func (s Severity) String() string { return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[s] }

// MarshalText writes the severity as text in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one problem.
type Finding struct {
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
}

// Findings lists the problems of a cluster. Certificates are checked against now.
func (h *Health) Findings(l Limits, now time.Time) []Finding {
	c := &checker{limits: l, now: now, findings: []Finding{}}
	switch {
	case h.Margin < 0:
		c.add(Critical, "there is no quorum: %d of %d members are healthy, but %d are needed", h.Healthy, len(h.Members), h.Quorum)
	case h.LeaderID == "":
		c.add(Critical, "no healthy member knows a leader")
	case h.Margin < l.MarginCritical:
		c.add(Critical, "only %s may fail", english.Plural(h.Margin, "more member", ""))
	case h.Margin < l.MarginWarning:
		c.add(Warning, "only %s may fail", english.Plural(h.Margin, "more member", ""))
	}
	for i := range h.Members {
		c.checkMember(h, &h.Members[i])
	}
	c.compareMembers(h)
	return c.findings
}

// Worst returns the highest severity of the findings.
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
			c.add(Critical, "member %s is %s behind", m.Label(), entries(behind))
		case behind >= c.limits.BehindWarning:
			c.add(Warning, "member %s is %s behind", m.Label(), entries(behind))
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
			c.add(Warning, "member %s advertises %s, which is not https: clients that use it bypass the proxy", m.Label(), u.URL)
		case u.State == Unreachable || u.Proxy || len(c.limits.ProxyPorts) == 0 || slices.Contains(c.limits.ProxyPorts, portOf(parsed)):
			// Who would answer there is not known, or a proxy does.
		default:
			c.add(Warning, "member %s advertises %s, where no etcd-tlsproxy answers: clients that use it bypass the proxy (hint: --proxy-port names the ports of other proxies)", m.Label(), u.URL)
		}
	}
	if u.Emptying {
		c.add(Warning, "member %s: the proxy at %s makes its clients leave, or stops: it is not ready (hint: POST /-/drain?off at its admin address lets them stay)", m.Label(), u.URL)
	}
	if u.Expires == nil {
		return
	}
	// Operators plan in days; a time of day would not help them.
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
	port, _ := strconv.Atoi(u.Port()) // 0 is never the port of a proxy
	return port
}

// compareMembers compares the members with each other.
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
		c.add(Warning, "member %s, which other machines cannot reach (hint: --force-new-cluster leaves a member with this URL; update it)", loopbackPeer)
	}
	if even := EvenWarning(len(h.Members)); even != "" {
		c.add(Warning, "%s", even)
	}
}

// record keeps one member for each value.
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

func entries(n uint64) string {
	return fmt.Sprintf("%d %s", n, english.PluralWord(int(min(n, 2)), "entry", ""))
}
