package daemon

import (
	"context"
	"hash/maphash"
	"log/slog"
	"os"
	"time"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/v2v3"
)

// storePatience is how long a start and a reload wait until a store is loaded. A hundred
// thousand keys take a second. A service whose etcd is down serves refusals, like with the v2
// API.
const storePatience = 3 * time.Second

// successor is a store that is put into use once it is loaded. Until then the one before serves.
type successor struct {
	store  *v2v3.Store
	origin *lane.Origin
}

// treeShare is the share of the memory, as a divisor, that the tree can use. The proxy could not
// serve a larger one, and would not after a restart either: it loads all of it.
const treeShare = 2

// openStore gives a state its v3 store: that of the previous state if none of its options has
// changed, or otherwise a new one.
func (l *loader) openStore(ctx context.Context, state, before *loaded) error {
	state.successor = nil
	if err := l.followChangeover(ctx, state, before); err != nil {
		return err
	}
	if err := l.openShadow(state, before); err != nil {
		return err
	}
	if !state.servesStore() {
		return nil
	}
	if before != nil && before.store != nil && before.snapshot.Upstream == state.snapshot.Upstream && state.sameStore(before) {
		state.store, state.snapshot.Origin, state.successor = before.store, before.snapshot.Origin, before.successor
		return nil
	}
	o := state.storeOptions(l.log)
	o.MaxBytes = state.config.Limits.Memory / treeShare
	store, err := v2v3.Open(o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	err = store.Ready(ctx)
	if err != nil {
		l.log.Warn("the store is not served yet", "reason", err)
	}
	origin := &lane.Origin{Store: store, Feed: share.NewFeed(l.watches, eventMemory(state.config))}
	if err != nil && before != nil && before.store != nil && before.store.Status().Serving {
		state.store, state.snapshot.Origin, state.successor = before.store, before.snapshot.Origin, &successor{store, origin}
		return nil
	}
	state.store, state.snapshot.Origin = store, origin
	return nil
}

// succeed puts the successor into use once it is loaded, or when the time of a request is over: then etcd
// is not there, as far as the files say, and clients are told so.
func (r *reloader) succeed(n *successor, patience time.Duration) {
	r.retired.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		go func() {
			select {
			case <-r.stopped:
				cancel()
			case <-ctx.Done():
			}
		}()
		err := n.store.Ready(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		select {
		case <-r.stopped:
			return
		default:
		}
		if r.current.successor != n {
			return // a reload has changed the options again
		}
		snapshot := *r.current.snapshot
		snapshot.Origin = n.origin
		next := *r.current
		next.snapshot, next.store, next.successor = &snapshot, n.store, nil
		r.publish(&next)
		r.logs.service.Info("the next copy of the store is in use", "loaded", err == nil)
	})
}

// sameStore reports whether the options of the store are the same, except those of the
// connections to etcd.
func (s *loaded) sameStore(before *loaded) bool {
	a, b := &before.config.Upstream, &s.config.Upstream
	return a.PlainReads == b.PlainReads && a.ServeStale == b.ServeStale && a.Compact == b.Compact && a.QuotaBytes == b.QuotaBytes
}

// storeOptions returns the options of the store.
func (s *loaded) storeOptions(log *slog.Logger) v2v3.Options {
	u := &s.config.Upstream
	o := v2v3.Options{
		Prefix: u.Prefix, User: u.User, Password: s.origin.password,
		Timeout:      s.config.Limits.UpstreamTimeout.Duration(),
		Linearizable: u.PlainReads == "linearizable",
		ServeStale:   u.ServeStale, Compact: u.Compact, QuotaBytes: u.QuotaBytes,
		Log: log, Version: s.version, Process: s.process,
	}
	o.Host, _ = os.Hostname() // which is only shown
	for _, e := range s.endpoints {
		o.Endpoints = append(o.Endpoints, s.origin.members(e)...)
	}
	return o
}

// StoreOptions reads a configuration and returns the options of its store, for commands that
// prepare it.
func StoreOptions(ctx context.Context, file string, log *slog.Logger) (*v2v3.Options, error) {
	return storeOptions(ctx, file, log, func(state *loaded) error {
		if state.config.Upstream.V3() {
			return nil
		}
		errs := state.doc.NewErrors()
		errs.Add("the configuration does not use a v3 store", `set upstream.api = "v3"`, "upstream", "api")
		return errs.Err()
	})
}

// AutoStoreOptions is StoreOptions for commands that decide which API has the keys.
func AutoStoreOptions(ctx context.Context, file string, log *slog.Logger) (*v2v3.Options, error) {
	return storeOptions(ctx, file, log, func(state *loaded) error {
		if state.config.Upstream.Auto() {
			return nil
		}
		errs := state.doc.NewErrors()
		errs.Add("the configuration does not let the store say which API has the keys", `set upstream.api = "auto" for all proxies, and restart them`, "upstream", "api")
		return errs.Err()
	})
}

// EitherStoreOptions is StoreOptions for commands that find out whether the store can be used. The configuration may
// still use the v2 API of the same members.
func EitherStoreOptions(ctx context.Context, file string, log *slog.Logger) (*v2v3.Options, error) {
	return storeOptions(ctx, file, log, func(*loaded) error { return nil })
}

// UnservedStoreOptions is StoreOptions for commands that remove what the v2 API has. The configuration must not serve
// that.
func UnservedStoreOptions(ctx context.Context, file string, log *slog.Logger) (*v2v3.Options, error) {
	return storeOptions(ctx, file, log, func(state *loaded) error {
		if state.config.Upstream.V3() || state.config.Upstream.Auto() {
			return nil
		}
		errs := state.doc.NewErrors()
		errs.Add("the configuration serves the keys of the v2 API", `set upstream.api = "auto" for all proxies, and restart them; or "v3"`, "upstream", "api")
		return errs.Err()
	})
}

func storeOptions(ctx context.Context, file string, log *slog.Logger, check func(*loaded) error) (*v2v3.Options, error) {
	state, err := loadOptions(ctx, file, check)
	if err != nil {
		return nil, err
	}
	o := state.storeOptions(log)
	return &o, nil
}

// loadOptions reads a configuration whose endpoints are found.
func loadOptions(ctx context.Context, file string, check func(*loaded) error) (*loaded, error) {
	loader := &loader{file: file, seed: maphash.MakeSeed()}
	state, err := loader.read()
	if err == nil {
		err = check(state)
	}
	if err == nil {
		err = loader.discover(ctx, state, nil)
	}
	return state, err
}

// retire closes a store, or what follows a changeover, that is not in force any more. Its running writes may
// still end; its watches are broken off, so that their clients connect again.
func (r *reloader) retire(s interface{ Close() }, patience time.Duration) {
	r.retired.Go(func() {
		select {
		case <-time.After(patience):
		case <-r.stopped:
		}
		s.Close()
	})
}

// close closes all stores. Nothing is served any more.
func (r *reloader) close() {
	close(r.stopped)
	r.retired.Wait()
	r.mu.Lock()
	last := r.current // which does not change any more
	r.mu.Unlock()
	if last.changeover != nil {
		last.changeover.Close()
	}
	if last.shadow != nil {
		last.shadow.Close()
	}
	if last.store != nil {
		last.store.Close()
	}
	if last.successor != nil {
		last.successor.store.Close()
	}
}
