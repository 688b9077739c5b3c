package proxy

import (
	"context"
	"runtime"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
)

// logins lets networks take turns at the workers that hash passwords. Suspects, which have
// failed several times, take turns among themselves first.
type logins struct {
	workers, suspects *account.Pool
}

// The logins that may wait. A login waits for the hashes of others and for the rest behind each
// that failed, so the last of a longer queue would be answered too late to be of use.
const (
	maxLogins        = 64
	maxSuspectLogins = 8
)

// newLogins returns the pools of logins; workers is as in [Options.HashWorkers].
func newLogins(table *account.Table, workers int) *logins {
	if workers == 0 {
		workers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	return &logins{
		workers:  table.NewPool(account.Options{Name: "logins", Total: int64(workers), Queue: maxLogins}),
		suspects: table.NewPool(account.Options{Name: "suspect_logins", Total: 1, Queue: maxSuspectLogins}),
	}
}

// turn waits for the client's turn; see [gate.Gate]. A worker that rests after a failed login
// still counts for the client, whose connection may have ended.
func (l *logins) turn(ctx context.Context, p *gate.Peer, ofSuspects bool) (release func(), err error) {
	pool := l.workers
	if ofSuspects {
		pool = l.suspects
	}
	a := p.Account.Reopen()
	if err := pool.Acquire(ctx, a, 1, account.Ordinary); err != nil {
		a.Close()
		return nil, err
	}
	return func() {
		pool.Release(a, 1, account.Ordinary)
		a.Close()
	}, nil
}
