package cluster

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Nagios writes the health in the form of an Icinga plugin: one line with performance
// data, followed by the details.
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
	fmt.Fprintf(&b, "ETCD %s - %s | %s\n", worst, escapePipes(first), strings.Join(h.performance(l, now), " "))
	for _, f := range findings {
		fmt.Fprintf(&b, "%s: %s\n", f.Severity, escapePipes(f.Text))
	}
	for _, m := range h.Members {
		fmt.Fprintf(&b, "%s\n", escapePipes(m.String()))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// escapePipes replaces |, which starts the performance data.
func escapePipes(text string) string { return strings.ReplaceAll(text, "|", "/") }

// performance returns the performance data in the form label=value;warning;critical.
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
	if behind, ok := h.maxBehind(); ok {
		// A range includes its end, but a lag at the limit is already reported.
		all = append(all, fmt.Sprintf("lag=%d;%d;%d", behind, lastAllowed(l.BehindWarning), lastAllowed(l.BehindCritical)))
	}
	if first, ok := h.firstExpiry(); ok {
		const day = 24 * time.Hour
		all = append(all, fmt.Sprintf("certificate_days=%d;%d:;%d:", first.Sub(now)/day, l.ExpiryWarning/day, l.ExpiryCritical/day))
	}
	return all
}

func lastAllowed(limit uint64) uint64 { return limit - min(limit, 1) }

func (h *Health) maxBehind() (behind uint64, ok bool) {
	for _, m := range h.Members {
		if m.Behind != nil {
			behind, ok = max(behind, *m.Behind), true
		}
	}
	return behind, ok
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
