package cluster

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// String describes the member on one line, which begins like etcdctl's.
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

// Text writes the health like etcdctl's cluster-health, with more details.
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
