package presence

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

const (
	// keeperTTL is how long a keeper's place outlives it, in seconds. Nothing expires until then.
	keeperTTL = 5
	// sweepPeriod is how often nodes that are due expire. Etcd has the same period.
	sweepPeriod = 500 * time.Millisecond
	// preference is how long a proxy whose member does not lead leaves the place to the others.
	preference = time.Second
	// maxAnswer is how long a new keeper waits until all others have said what time they have, and
	// maxAnswers is how long it waits for the first of them. The sessions of dead ones are over then.
	maxAnswer, maxAnswers = time.Second, 3 * sessionTTL * time.Second
	// rest is for how long a proxy with a doubtful clock does not become keeper.
	rest = 30 * time.Second
)

// Tree is what a keeper keeps.
type Tree interface {
	// Keeper returns the key of the keeper, or nil if there is none, and the other sessions. It
	// fails if that is not known at the moment.
	Keeper() (keeper *mvccpb.KeyValue, others []string, ok bool)
	// Writes reports whether this program may write the tree, as far as is known.
	Writes() bool
	// Expire expires nodes that are due at a time, if the key of the keeper was put at a revision. It
	// reports whether there may be more.
	Expire(ctx context.Context, keeper int64, now time.Time) (more bool)
	// Compact is called in each period in which the keeper has its place.
	Compact(ctx context.Context)
}

// Keeper takes part in the election of the keeper.
type Keeper struct {
	Host
	session *Session
	tree    Tree
	clock   clock

	mu       sync.Mutex
	revision int64 // at which this proxy put the key; 0 if it is not the keeper
	// vacant is when there was no keeper for the first time; zero while there is one, or it is not known.
	vacant time.Time
}

// NewKeeper returns a keeper that takes part with [Keeper.Run].
func NewKeeper(h Host, session *Session, tree Tree) *Keeper {
	return &Keeper{Host: h, session: session, tree: tree, clock: clock{now: h.Now}}
}

// Keeps reports whether this proxy is the keeper.
func (k *Keeper) Keeps() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.revision != 0
}

func (k *Keeper) set(revision int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.revision = revision
	if revision != 0 {
		k.vacant = time.Time{}
	}
}

// VacantSince returns since when there has been no keeper, as far as this proxy knows; zero if there is one.
func (k *Keeper) VacantSince() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.vacant
}

// note takes note of whether there is no keeper, and returns since when.
func (k *Keeper) note(vacant bool) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case !vacant:
		k.vacant = time.Time{}
	case k.vacant.IsZero():
		k.vacant = time.Now()
	}
	return k.vacant
}

// Run takes part until the store is closed.
func (k *Keeper) Run() {
	tick := time.NewTicker(sweepPeriod)
	defer tick.Stop()
	for {
		select {
		case <-k.Context.Done():
			return
		case <-tick.C:
		}
		keeper, _, ok := k.tree.Keeper()
		session, fence, present := k.session.Fence()
		vacant := k.note(ok && keeper == nil)
		if vacant.IsZero() || !present || !k.tree.Writes() || k.clock.rests() || time.Since(vacant) < preference && !k.leads() {
			continue
		}
		if err := k.serve(session, fence); err != nil {
			k.Log.Debug("this proxy is not the keeper", "error", err)
		}
	}
}

// leads reports whether the member in use leads.
func (k *Keeper) leads() bool {
	ctx, cancel := context.WithTimeout(k.Context, leaseTimeout)
	defer cancel()
	status, err := k.Client.Maintenance().Status(ctx, &pb.StatusRequest{})
	return err == nil && status.Leader == status.Header.MemberId
}

// serve becomes the keeper if there is none, and keeps until that ends.
func (k *Keeper) serve(session string, fence int64) error {
	defer k.clock.end()
	lease, revision, err := k.elect(session, fence)
	if err != nil {
		return err
	}
	k.Log.Info("this proxy expires nodes now", "session", session)
	ctx, cancel := context.WithCancelCause(k.Context)
	var renewing sync.WaitGroup
	renewing.Go(func() { cancel(renewLease(ctx, k.Client, lease, keeperTTL*time.Second)) })
	k.set(revision)
	k.clock.elected(revision)
	err = k.keep(ctx, session, revision)
	k.set(0)
	cancel(err)
	renewing.Wait()
	k.revoke(lease)
	k.Log.Info("this proxy does not expire nodes any more", "reason", context.Cause(ctx))
	return err
}

// elect puts the key of the keeper if there is none.
func (k *Keeper) elect(session string, fence int64) (lease, revision int64, err error) {
	ctx, cancel := context.WithTimeout(k.Context, leaseTimeout)
	defer cancel()
	granted, err := k.Client.Lease().LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: keeperTTL})
	if err != nil {
		return 0, 0, fmt.Errorf("granting a lease: %s", rpc.Reason(err))
	}
	k.clock.begin()
	value := k.presence(session)
	t := layout.Txn{Keys: k.Keys}
	t.Modified(k.Keys.Keeper(), 0)
	t.Modified(k.Keys.Session(session), fence)
	endpoint, _ := k.Client.Endpoint()
	answer, err := k.Client.Txn(ctx, &pb.TxnRequest{Compare: t.Compare, Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{
		RequestPut: &pb.PutRequest{Key: k.Keys.Keeper(), Value: value.Encode(), Lease: granted.ID}}}}})
	if err == nil && answer.Succeeded {
		k.Seen(answer.Header, answer.Header.Revision, endpoint)
		return granted.ID, answer.Header.Revision, nil
	}
	k.revoke(granted.ID) // if it was executed, the key goes with its lease
	if err != nil {
		return 0, 0, fmt.Errorf("putting the key of the keeper: %s", rpc.Reason(err))
	}
	return 0, 0, errors.New("another proxy is the keeper, or the session is over")
}

// keep expires what is due until this proxy is not the keeper any more.
func (k *Keeper) keep(ctx context.Context, session string, revision int64) error {
	began := time.Now()
	tick := time.NewTicker(sweepPeriod)
	defer tick.Stop()
	for more := false; ctx.Err() == nil; {
		if !more {
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
		more = false
		keeper, others, ok := k.tree.Keeper()
		name, _, _ := k.session.Fence()
		switch {
		case name != session:
			return errors.New("the session is over")
		case !k.tree.Writes():
			return errors.New("this program is too old to write the tree")
		case !ok:
			continue // without events, nothing is known to be due
		case keeper == nil || keeper.ModRevision != revision:
			if time.Since(began) > leaseTimeout {
				return errors.New("the mirror shows another keeper, or none")
			}
			continue // the mirror is behind the election
		}
		if reason := k.clock.doubt(others, time.Since(began)); reason != "" {
			k.Log.Error("this proxy's clock is in doubt, so it does not expire nodes", "reason", reason, "for", rest)
			return errors.New(reason)
		}
		if k.clock.heard(others, time.Since(began)) {
			more = k.tree.Expire(ctx, revision, k.Now())
			k.tree.Compact(ctx)
		}
	}
	return context.Cause(ctx)
}

// Observe takes note of the time of another proxy's clock, which it had when it put a revision. The
// session is "" if it was not the session that was put.
func (k *Keeper) Observe(session string, time, revision int64) {
	k.clock.observe(session, time, revision)
}

// Clock returns how many clocks of others differ from that of this keeper, and how often this proxy has
// doubted its own.
func (k *Keeper) Clock() (different, doubts int) { return k.clock.counts() }
