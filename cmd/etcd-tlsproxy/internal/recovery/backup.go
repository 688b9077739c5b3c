// Package recovery takes backups of an etcd member and brings a cluster back from
// one.
//
// A backup is a folder with the output of etcdctl's backup of a compacted copy of a
// member's data folder, or with a snapshot of a v3 store, and with a manifest and checksums. It is written under a name that begins
// with a dot, synced to disk and then renamed, so a folder with the name of a backup is
// always complete.
//
// A recovery is a list of steps, each with its commands. It can be printed as a shell
// script, or executed step by step with a check after each. Old data is moved aside and
// never removed.
package recovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/etcdtool"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/snapshot"
	"etcd-tlsproxy/cmd/internal/usage"
)

// Backup says which member to copy, and where to.
type Backup struct {
	// Connection connects to the member itself.
	Connection cluster.Connection
	// DataDir is the member's data folder, WALDir the folder of its log if that is
	// outside of the data folder.
	DataDir, WALDir string
	// Folder holds the backups. The newest Keep of them are kept; 0 keeps all.
	Folder string
	Keep   int
	// Verify starts an etcd on a copy and compares its keys with the member's.
	Verify bool
	// WithV3 also copies the v3 store, which only works while the member is stopped. Then
	// Offline implies it.
	WithV3 bool
	// Offline copies the folder of a member that is stopped or has no quorum.
	Offline bool
	// Store is the v3 store that has the keys, or nil if they are in the v2 store of the member. The
	// backup is then a snapshot. With Offline it is taken from an etcd on a copy of the folder.
	Store *snapshot.Store
	// MetricsFile is a file for the node exporter. Without it no metrics are written.
	MetricsFile string
	// Tool is the path of etcdctl or etcdutl, Etcd that of etcd. They default to the ones
	// in PATH.
	Tool, Etcd string

	// Note reports each step, and Progress how far it has come. Both may be nil.
	Note     func(text string)
	Progress Progress

	Now func() time.Time
}

// Result is a finished backup.
type Result struct {
	Path     string    `json:"path"`
	Bytes    int64     `json:"bytes"`
	Seconds  float64   `json:"seconds"`
	Removed  []string  `json:"removed,omitempty"`
	Manifest *Manifest `json:"manifest"`
}

// Text writes the result for people.
func (r *Result) Text(w io.Writer) error {
	fmt.Fprintf(w, "%s: %s, %s, %.1f s\n", r.Path, english.Plural(len(r.Manifest.Files), "file", ""), humanize.IBytes(uint64(r.Bytes)), r.Seconds)
	if t := r.Manifest.Tree; t != nil {
		fmt.Fprintf(w, "a snapshot of the v3 store at revision %d, of which the tree has index %d\n", t.Revision, r.Manifest.Index)
	}
	if k := r.Manifest.Keys; k != nil {
		fmt.Fprintf(w, "%s, of which %d with an expiry\n", english.Plural(k.Count, "key", ""), k.Expiring)
		if k.Verified {
			fmt.Fprintf(w, "verified: an etcd that was started on a copy has the same keys\n")
		}
	}
	if missing := r.Manifest.V3LeftOut; missing != "" {
		fmt.Fprintf(w, "NOT in the backup: %s\n", missing)
	}
	for _, name := range r.Removed {
		fmt.Fprintf(w, "removed: %s\n", name)
	}
	return nil
}

// Run takes the backup and records its outcome in the metrics.
func (b *Backup) Run(ctx context.Context) (*Result, error) {
	began := b.Now()
	result, err := b.run(ctx)
	if err == nil {
		result.Seconds = b.Now().Sub(began).Seconds()
	}
	if b.MetricsFile == "" {
		return result, err
	}
	if err != nil {
		return nil, errors.Join(err, writeFailure(b.MetricsFile))
	}
	if err := writeSuccess(b.MetricsFile, result); err != nil {
		return nil, fmt.Errorf("writing --metrics-file (the backup %s is complete): %w", result.Path, err)
	}
	return result, nil
}

func (b *Backup) run(ctx context.Context) (*Result, error) {
	check, fill := b.check, b.fill
	if b.Store != nil {
		check, fill = b.checkSnapshot, b.fillSnapshot
	}
	source, err := check()
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(b.Folder, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("creating the folder of the backups: %w (hint: --dir must be in a folder that exists)", err)
	}
	unlock, err := lock(b.Folder)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeStale(b.Folder); err != nil {
		return nil, fmt.Errorf("removing the remains of an earlier backup: %w", err)
	}
	partial, final, err := createPartial(b.Folder, b.Now())
	if err != nil {
		return nil, err
	}
	manifest, err := fill(ctx, source, partial)
	if err == nil {
		err = publish(partial, final)
	}
	if err != nil {
		// No partial backup remains, and no older one is removed.
		return nil, errors.Join(fmt.Errorf("taking a backup: %w", err), os.RemoveAll(partial))
	}
	result := &Result{Path: final, Bytes: manifest.Size(), Manifest: manifest}
	if b.Keep > 0 {
		if result.Removed, err = rotate(b.Folder, final, b.Keep); err != nil {
			return nil, fmt.Errorf("removing old backups (the new one, %s, is complete): %w", final, err)
		}
	}
	return result, nil
}

// check finds mistakes before anything is written.
func (b *Backup) check() (memberhost.Identity, error) {
	if err := b.checkFlags(); err != nil {
		return memberhost.Identity{}, err
	}
	source, err := memberhost.Identify(b.DataDir, b.WALDir)
	if err != nil {
		return memberhost.Identity{}, err
	}
	if err := b.checkFolder(); err != nil {
		return memberhost.Identity{}, err
	}
	if b.WithV3 || b.Offline {
		running, err := memberhost.InUse(b.DataDir)
		switch {
		case err != nil:
			return memberhost.Identity{}, err
		case !running:
			_, err := os.Stat(filepath.Join(b.DataDir, "member", "snap", "db"))
			b.WithV3 = err == nil // etcd 2 has no v3 store
		case b.WithV3:
			return memberhost.Identity{}, errors.New("--with-v3 requires the member to be stopped: etcd locks its v3 store, and the tool would wait for the lock forever (hint: stop it and use --offline, or save the v3 store with ETCDCTL_API=3 etcdctl snapshot save)")
		}
	}
	if b.Tool, err = etcdtool.FindTool(b.Tool); err != nil {
		return memberhost.Identity{}, err
	}
	b.Etcd, err = etcdtool.FindEtcd(b.Etcd)
	return source, err
}

func (b *Backup) checkFlags() error {
	if b.Keep < 0 {
		return usage.Mark(fmt.Errorf("--keep %d is not a valid number of backups (hint: 0 keeps all)", b.Keep))
	}
	return nil
}

// checkFolder refuses to write into the data folder, which exists.
func (b *Backup) checkFolder() error {
	within, err := isWithin(b.Folder, b.DataDir)
	if err == nil && within {
		err = fmt.Errorf("the folder of the backups, %s, is inside of etcd's data folder, which is for etcd alone (hint: choose another --dir)", b.Folder)
	}
	return err
}

// Progress starts to report how far long work has come, in units that what names. A
// total of -1 is unknown. The work calls add with each part, and done at its end.
type Progress func(what string, total int64) (add func(n int64), done func())

// start starts a report. Without Progress nothing is reported.
func (p Progress) start(what string, total int64) (add func(n int64), done func()) {
	if p == nil {
		return func(int64) {}, func() {}
	}
	return p(what, total)
}

func (b *Backup) note(format string, args ...any) { note(b.Note, format, args...) }

func (r *Recovery) note(format string, args ...any) { note(r.Note, format, args...) }

func note(report func(string), format string, args ...any) {
	if report != nil {
		report(fmt.Sprintf(format, args...))
	}
}
