package cluster

import (
	"errors"
	"fmt"
	"strings"
)

// Change is the plan to add or remove a member, checked against the health of the
// cluster.
type Change struct {
	// Steps are the plan.
	Steps []string
	// Objections can be overridden with --force. Each says what that may cost.
	Objections []string
}

func (c *Change) addStep(form string, args ...any) {
	c.Steps = append(c.Steps, fmt.Sprintf(form, args...))
}
func (c *Change) addObjection(form string, args ...any) {
	c.Objections = append(c.Objections, fmt.Sprintf(form, args...))
}

// Check returns the objections as an error, or nil if there are none. With force they
// become the first steps of the plan instead.
func (c *Change) Check(force bool) error {
	if len(c.Objections) == 0 {
		return nil
	}
	if !force {
		return fmt.Errorf("refused:\n  %s\n(hint: --force overrides this)", strings.Join(c.Objections, "\n  "))
	}
	var steps []string
	for _, objection := range c.Objections {
		steps = append(steps, "FORCED although "+objection)
	}
	c.Steps, c.Objections = append(steps, c.Steps...), nil
	return nil
}

// checkOneHealthy refuses changes of a cluster without a healthy member. Force does not
// help there: the write would hang.
func (h *Health) checkOneHealthy() error {
	if h.Healthy > 0 {
		return nil
	}
	var each strings.Builder
	for i := range h.Members {
		fmt.Fprintf(&each, "\n  member %s is %s: %s", h.Members[i].Label(), h.Members[i].State, h.Members[i].Problem())
	}
	return fmt.Errorf("no member is healthy, and a cluster without a quorum accepts no membership changes:%s\n(hint: start members, or recover the cluster from a backup)", each.String())
}

// Find returns the member with a name or an id.
func (h *Health) Find(which string) (*MemberHealth, error) {
	if which == "" {
		return nil, errors.New("the name is empty (hint: a member that has not started has no name; use its id)")
	}
	var found []*MemberHealth
	for i := range h.Members {
		if m := &h.Members[i]; m.Name == which || m.ID == which {
			found = append(found, m)
		}
	}
	var labels []string
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		for i := range h.Members {
			labels = append(labels, h.Members[i].Label())
		}
		return nil, fmt.Errorf("no member has the name or the id %q (hint: they are %s)", which, strings.Join(labels, ", "))
	}
	for _, m := range found {
		labels = append(labels, m.Label())
	}
	return nil, fmt.Errorf("%q is the name or the id of more than one member: %s (hint: use the id if it is unique; if the name of one member is the id of another, change the name first)", which, strings.Join(labels, ", "))
}

// quorumChange says what a change does to the quorum.
func quorumChange(before, after int) string {
	return fmt.Sprintf("the cluster goes from %d to %d members, and its quorum from %d to %d", before, after, Quorum(before), Quorum(after))
}
