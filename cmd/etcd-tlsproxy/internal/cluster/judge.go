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
func (h *Health) Judge(l Limits, now time.Time) []Finding {
	j := &judge{limits: l, now: now, findings: []Finding{}}
	switch {
	case h.Margin < 0:
		j.add(Critical, "there is no quorum: %d of %d members are healthy, and %d have to be", h.Healthy, len(h.Members), h.Quorum)
	case h.LeaderID == "":
		j.add(Critical, "no healthy member knows a leader")
	case h.Margin < l.MarginCritical:
		j.add(Critical, "only %d more members may fail", h.Margin)
	case h.Margin < l.MarginWarning:
		j.add(Warning, "only %d more members may fail", h.Margin)
	}
	for i := range h.Members {
		j.member(h, &h.Members[i])
	}
	j.together(h)
	return j.findings
}

// Worst is the worst of findings.
func Worst(findings []Finding) Severity {
	worst := OK
	for _, f := range findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

type judge struct {
	limits   Limits
	now      time.Time
	findings []Finding
}

func (j *judge) add(s Severity, form string, args ...any) {
	j.findings = append(j.findings, Finding{s, fmt.Sprintf(form, args...)})
}

func (j *judge) member(h *Health, m *MemberHealth) {
	if problem := m.Problem(); problem != "" {
		j.add(Warning, "member %s is %s: %s", m.Label(), m.State, problem)
	}
	for _, u := range m.URLs {
		if m.State == Healthy && u.State != Healthy {
			j.add(Warning, "member %s: %s is %s: %s", m.Label(), u.URL, u.State, u.Problem)
		}
		j.url(m, &u)
	}
	if m.Behind != nil {
		switch behind := *m.Behind; {
		case behind >= j.limits.BehindCritical:
			j.add(Critical, "member %s is %d entries behind", m.Label(), behind)
		case behind >= j.limits.BehindWarning:
			j.add(Warning, "member %s is %d entries behind", m.Label(), behind)
		}
	}
	if m.State == Healthy && m.follows != "" && m.follows != h.LeaderID {
		j.add(Warning, "member %s follows %s, others follow %s", m.Label(), m.follows, h.LeaderID)
	}
}

func (j *judge) url(m *MemberHealth, u *URLHealth) {
	if parsed, err := url.Parse(u.URL); err == nil {
		switch {
		case parsed.Scheme != "https":
			j.add(Warning, "member %s advertises %s, which is not https: clients go there past the proxy", m.Label(), u.URL)
		case len(j.limits.ProxyPorts) > 0 && !slices.Contains(j.limits.ProxyPorts, portOf(parsed)):
			j.add(Warning, "member %s advertises %s, which is not a proxy's port: clients go there past the proxy", m.Label(), u.URL)
		}
	}
	if u.Expires == nil {
		return
	}
	// Days are what operators think in, and names of the time of day tell nothing.
	left, day := u.Expires.Sub(j.now), u.Expires.UTC().Format(time.DateOnly)
	switch {
	case left <= 0:
		j.add(Critical, "the certificate at %s expired on %s", u.URL, day)
	case left < j.limits.ExpiryCritical:
		j.add(Critical, "the certificate at %s expires on %s", u.URL, day)
	case left < j.limits.ExpiryWarning:
		j.add(Warning, "the certificate at %s expires on %s", u.URL, day)
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
func (j *judge) together(h *Health) {
	versions, clusters, schemes := make(map[string]string), make(map[string]string), make(map[string]string)
	lonely, others := "", false
	for _, m := range h.Members {
		note(versions, m.Version, m.Label())
		note(clusters, m.cluster, m.Label())
		for _, text := range m.PeerURLs {
			u, err := url.Parse(text)
			if err != nil {
				continue
			}
			note(schemes, u.Scheme, m.Label())
			if loopback(u.Hostname()) {
				lonely = m.Label() + " has the peer URL " + text
			} else {
				others = true
			}
		}
	}
	j.differ(Warning, "run different versions", versions)
	j.differ(Critical, "belong to different clusters", clusters)
	j.differ(Warning, "have peer URLs of different schemes", schemes)
	if lonely != "" && others {
		j.add(Warning, "member %s, which other machines cannot reach (hint: a member that was started with --force-new-cluster has it; update its peer URL)", lonely)
	}
	if even := Even(len(h.Members)); even != "" {
		j.add(Warning, "%s", even)
	}
}

// note remembers one member for each value.
func note(values map[string]string, value, member string) {
	if value != "" {
		values[value] = member
	}
}

func (j *judge) differ(s Severity, how string, values map[string]string) {
	if len(values) < 2 {
		return
	}
	text := ""
	for _, value := range slices.Sorted(maps.Keys(values)) {
		text += fmt.Sprintf(", %s (%s)", value, values[value])
	}
	j.add(s, "members %s: %s", how, text[2:])
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
