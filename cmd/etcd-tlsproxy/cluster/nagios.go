package cluster

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Nagios writes health as a plugin of Icinga does: a line with performance data,
// and what it is about below.
func (h *Health) Nagios(w io.Writer, findings []Finding, l Limits, now time.Time) error {
	first := fmt.Sprintf("%d of %d members healthy, leader %s, %s", h.Healthy, len(h.Members), h.leader(), h.margin())
	worst := Worst(findings)
	for _, f := range findings {
		if f.Severity == worst {
			first = f.Text + "; " + first
			break
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "ETCD %s - %s | %s\n", worst, plain(first), strings.Join(h.performance(l, now), " "))
	for _, f := range findings {
		fmt.Fprintf(&b, "%s: %s\n", f.Severity, plain(f.Text))
	}
	for _, m := range h.Members {
		fmt.Fprintf(&b, "%s\n", plain(m.String()))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// plain keeps a text from beginning performance data.
func plain(text string) string { return strings.ReplaceAll(text, "|", "/") }

func (h *Health) leader() string {
	switch {
	case h.LeaderID == "":
		return "none"
	case h.Leader == "":
		return h.LeaderID
	}
	return h.Leader
}

func (h *Health) margin() string {
	if h.Margin < 0 {
		return fmt.Sprintf("no quorum of %d", h.Quorum)
	}
	return fmt.Sprintf("quorum %d, %d may fail", h.Quorum, h.Margin)
}

// performance is in the form label=value;warning;critical.
func (h *Health) performance(l Limits, now time.Time) []string {
	leader := 0
	if h.LeaderID != "" {
		leader = 1
	}
	all := []string{
		fmt.Sprintf("members=%d", len(h.Members)),
		fmt.Sprintf("healthy=%d;%d:;%d:", h.Healthy, len(h.Members), h.Quorum),
		fmt.Sprintf("margin=%d;%d:;%d:", h.Margin, l.MarginWarning, l.MarginCritical),
		fmt.Sprintf("has_leader=%d;;1:", leader),
	}
	if most, ok := h.mostBehind(); ok {
		// A range includes its end, and the limit itself is too much.
		all = append(all, fmt.Sprintf("lag=%d;%d;%d", most, before(l.BehindWarning), before(l.BehindCritical)))
	}
	if first, ok := h.firstExpiry(); ok {
		const day = 24 * time.Hour
		all = append(all, fmt.Sprintf("certificate_days=%d;%d:;%d:", first.Sub(now)/day, l.ExpiryWarning/day, l.ExpiryCritical/day))
	}
	return all
}

func before(limit uint64) uint64 { return limit - min(limit, 1) }

func (h *Health) mostBehind() (most uint64, ok bool) {
	for _, m := range h.Members {
		if m.Behind != nil {
			most, ok = max(most, *m.Behind), true
		}
	}
	return most, ok
}

func (h *Health) firstExpiry() (first time.Time, ok bool) {
	for _, m := range h.Members {
		for _, u := range m.URLs {
			if u.Expires != nil && (!ok || u.Expires.Before(first)) {
				first, ok = *u.Expires, true
			}
		}
	}
	return first, ok
}

// String is the member on one line, as etcdctl begins it.
func (m *MemberHealth) String() string {
	text := fmt.Sprintf("member %s is %s", m.Label(), m.State)
	if problem := m.Problem(); problem != "" {
		return text + ": " + problem
	}
	var more []string
	for _, u := range m.URLs {
		if u.State == Healthy {
			more = append(more, u.URL)
		}
	}
	if m.Leader {
		more = append(more, "leader")
	}
	if m.Version != "" {
		more = append(more, "etcd "+m.Version)
	}
	if m.Behind != nil {
		more = append(more, fmt.Sprintf("raft index %d, %d behind", m.RaftIndex, *m.Behind))
	} else {
		more = append(more, "raft index unknown")
	}
	return text + ": " + strings.Join(more, ", ")
}

// Text writes health as etcdctl's cluster-health does, and more.
func (h *Health) Text(w io.Writer, findings []Finding) error {
	var b strings.Builder
	for _, m := range h.Members {
		fmt.Fprintf(&b, "%s\n", m.String())
		for _, u := range m.URLs {
			if u.Expires != nil {
				fmt.Fprintf(&b, "  %s: certificate until %s\n", u.URL, u.Expires.UTC().Format(time.DateOnly))
			}
		}
	}
	for _, f := range findings {
		fmt.Fprintf(&b, "%s: %s\n", strings.ToLower(f.Severity.String()), f.Text)
	}
	fmt.Fprintf(&b, "cluster is %s: %d of %d members, leader %s, %s\n", h.State, h.Healthy, len(h.Members), h.leader(), h.margin())
	_, err := io.WriteString(w, b.String())
	return err
}
