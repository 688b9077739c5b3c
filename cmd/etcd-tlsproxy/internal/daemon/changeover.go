package daemon

import (
	"context"
	"log/slog"

	"etcd-tlsproxy/proxy/v2v3/changeover"
)

// followChangeover gives a state what says whether the v2 API or the store has the keys: that of the
// previous state if its connections to etcd are the same.
func (l *loader) followChangeover(ctx context.Context, state, before *loaded) error {
	if !state.config.Upstream.Auto() {
		return nil
	}
	if before != nil && before.changeover != nil && before.snapshot.Upstream == state.snapshot.Upstream {
		state.changeover = before.changeover
	} else {
		o := state.storeOptions(l.log)
		c, err := changeover.Open(changeover.Options{Endpoints: o.Endpoints, Prefix: o.Prefix, User: o.User, Password: o.Password,
			Timeout: o.Timeout, Host: o.Host, Version: o.Version, Process: o.Process, Log: o.Log, ServeStale: o.ServeStale, Switched: l.switched, Stale: l.stale})
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, storePatience)
		defer cancel()
		if err := c.Ready(ctx); err != nil {
			l.log.Warn("it is not known yet whether the v2 API or the v3 store has the keys; nothing is served", "reason", err)
		}
		state.changeover = c
	}
	state.snapshot.Changeover = state.changeover
	return nil
}

// servesStore reports whether the store answers, and not the v2 API.
func (s *loaded) servesStore() bool {
	return s.config.Upstream.V3() || s.changeover != nil && s.changeover.Tree()
}

// stale breaks off watches of the v2 API, because it is not known any more whether that still has the keys.
func (r *reloader) stale() {
	r.logs.service.Warn("it is not known any more whether the v2 API or the v3 store has the keys; reads are refused, and watches are broken off")
	if server := r.serving.Load(); server != nil {
		server.BreakOffWatches()
	}
}

// switched puts the API into use that has the keys now. Nobody writes until it returns.
func (r *reloader) switched() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.stopped:
		return
	default:
	}
	if r.current.servesStore() == (r.current.store != nil) {
		return
	}
	snapshot := *r.current.snapshot
	next := *r.current
	next.snapshot, next.store, snapshot.Origin = &snapshot, nil, nil
	if err := r.loader.openStore(context.Background(), &next, r.current); err != nil {
		r.logs.service.Error("the API that has the keys now cannot be used", "error", err)
		return
	}
	if before := r.current.snapshot.Watches; before != nil {
		// Some hubs outlive their watchers for a while. They would see what a command writes to the v2 API before that has
		// the keys again, and give it to clients as events.
		next.renewWatches(r.loader)
		defer before.Close()
	}
	r.publish(&next)
	api := "v2"
	if next.store != nil {
		api = "v3"
	}
	r.logs.service.Info("another API of etcd has the keys now", "api", api)
	r.logs.records.Note("changeover", slog.String("api", api))
}
