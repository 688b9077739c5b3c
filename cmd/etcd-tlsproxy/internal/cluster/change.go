package cluster

import (
	"errors"
	"fmt"
	"strings"
)

// Change is a member to be added or removed, checked against how the cluster is.
type Change struct {
	// Steps are the plan.
	Steps []string
	// Objections are what --force overrides, each with what it would cost.
	Objections []string
}

func (c *Change) addStep(form string, args ...any) {
	c.Steps = append(c.Steps, fmt.Sprintf(form, args...))
}
func (c *Change) addObjection(form string, args ...any) {
	c.Objections = append(c.Objections, fmt.Sprintf(form, args...))
}

// Refuse is the error that the objections make, or nil. With force they go to the
// head of the plan instead.
func (c *Change) Check(force bool) error {
	if len(c.Objections) == 0 {
		return nil
	}
	if !force {
		return fmt.Errorf("refused:\n  %s\n(hint: --force does it all the same)", strings.Join(c.Objections, "\n  "))
	}
	var steps []string
	for _, objection := range c.Objections {
		steps = append(steps, "FORCED although "+objection)
	}
	c.Steps, c.Objections = append(steps, c.Steps...), nil
	return nil
}

// decidable refuses changes of a cluster that cannot decide anything: force does not
// help there, a write would hang.
func (h *Health) checkOneHealthy() error {
	if h.Healthy > 0 {
		return nil
	}
	var each strings.Builder
	for i := range h.Members {
		fmt.Fprintf(&each, "\n  member %s is %s: %s", h.Members[i].Label(), h.Members[i].State, h.Members[i].Problem())
	}
	return fmt.Errorf("no member is healthy: a cluster without quorum takes no changes of its members:%s\n(hint: start members, or recover the cluster from a backup)", each.String())
}

// Find is the member that an operator means by a name or an id.
func (h *Health) Find(which string) (*MemberHealth, error) {
	if which == "" {
		return nil, errors.New("members that have not started have no name (hint: name them by id)")
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
	return nil, fmt.Errorf("%q is the name or the id of more than one member: %s (hint: if each has another id, name it by that; if the name of one is the id of another, change the name first)", which, strings.Join(labels, ", "))
}

// counts tells what a change does to the quorum.
func quorumChange(before, after int) string {
	return fmt.Sprintf("%d members become %d, and %d instead of %d of them have to agree", before, after, Quorum(after), Quorum(before))
}
