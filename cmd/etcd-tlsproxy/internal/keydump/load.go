package keydump

import (
	"context"
	"errors"
	"fmt"
	"time"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/acl"
)

// Loader executes plans.
type Loader struct {
	Client client.Client
	// OnWrite is called after each step that wrote or tried to.
	OnWrite func()
}

// Run executes the creations and updates of a plan in order, and records their outcome in
// the plan. A concurrent change by another client is kept and becomes a conflict. After
// an error the earlier steps are done, and the same load can be run again.
func (l *Loader) Run(ctx context.Context, p *Plan) error {
	blocked := make(map[acl.Key]Step)
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Action != Create && s.Action != Update {
			continue
		}
		if above, ok := blockedBy(blocked, s.Key); ok {
			s.Action, s.Reason = above.Action, fmt.Sprintf("because of its directory %v", above.Key)
		} else if err := l.write(ctx, s); err != nil {
			return fmt.Errorf("writing %v: %w", s.Key, err)
		}
		if s.Dir && s.Action != Create && s.Action != Unchanged {
			blocked[s.Key] = *s
		}
		l.OnWrite()
	}
	return nil
}

// Counts returns the number of steps of each action.
func (p *Plan) Counts() map[Action]int {
	counts := make(map[Action]int)
	for _, s := range p.Steps {
		counts[s.Action]++
	}
	return counts
}

// Writes returns the number of steps that Run executes.
func (p *Plan) Writes() int {
	counts := p.Counts()
	return counts[Create] + counts[Update]
}

func (l *Loader) write(ctx context.Context, s *Step) error {
	options := &client.SetOptions{Dir: s.Dir, PrevExist: client.PrevNoExist, NoValueOnSuccess: true}
	if s.Action == Update {
		options.PrevExist, options.PrevIndex = client.PrevExist, s.replaces
	}
	if s.Expiration != nil {
		left := time.Until(*s.Expiration)
		if left <= 0 {
			s.Action, s.Reason = Expired, "during the load"
			return nil
		}
		// etcd takes whole seconds. Rounding up expires the key slightly late rather than
		// early.
		options.TTL = (left + time.Second - 1).Truncate(time.Second)
	}
	value := ""
	if s.Value != nil {
		value = *s.Value
	}
	_, err := client.NewKeysAPI(l.Client).Set(ctx, string(s.Key), value, options)
	var refusal client.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &refusal):
		return withHint(err)
	}
	switch refusal.Code {
	case client.ErrorCodeNodeExist, client.ErrorCodeTestFailed, client.ErrorCodeKeyNotFound, client.ErrorCodeNotFile, client.ErrorCodeNotDir:
		return l.resolve(ctx, s)
	}
	return withHint(err)
}

// resolve reads a key whose write was refused because its state had changed. The key can
// have the wanted state already, if the library repeated a request whose answer was late.
func (l *Loader) resolve(ctx context.Context, s *Step) error {
	found, err := read(ctx, l.Client, s.Key)
	if err != nil {
		return err
	}
	differs := s.difference(found.node)
	switch {
	case differs == "":
		s.Action = Unchanged
	case found.node == nil && s.Action == Create:
		s.Action, s.Reason = Conflict, "its parent is a key in the cluster"
	default:
		s.Action, s.Reason = Conflict, differs+": it was changed during the load"
	}
	return nil
}
