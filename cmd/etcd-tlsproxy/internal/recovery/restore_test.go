package recovery

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/snapshot"
	"etcd-tlsproxy/proxy/proxytest/direct"
)

// lose takes a backup, writes more, and stops all members. It returns the backup, and the index that was seen
// last.
func (s *v3Store) lose(t *testing.T) (backup string, seen uint64) {
	t.Helper()
	s.put(t, "1", "/a/b", "/a/c", "/_hidden")
	backup = run(t, s.backup(filepath.Join(t.TempDir(), "backups"), time.Now())).Path
	s.put(t, "lost", "/a/b", "/later", "/a/b", "/a/c")
	last, err := s.store.Tree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.writer.Close()
	s.Close()
	http.DefaultClient.CloseIdleConnections()
	return backup, last.Index
}

// recovery returns a recovery of all members on this machine.
func (s *v3Store) recovery(t *testing.T, backup string) *Recovery {
	t.Helper()
	// Scripts find etcd's processes by this name.
	etcd := filepath.Join(t.TempDir(), "etcd")
	if err := os.Symlink(s.release.Program, etcd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { killAll(t, s.dir) })
	return &Recovery{Program: program(t), Backup: backup, Members: spec(t, s.Members), DataDir: filepath.Join(s.dir, "{name}", "data"), Foreground: true,
		ListenPeer: "127.0.0.1", Etcd: etcd, EtcdArgs: []string{"--strict-reconfig-check=false"}, Tool: s.release.Restorer(), Wait: time.Minute,
		Connection: cluster.Connection{Timeout: 2 * time.Second}, Confirm: confirm, Now: time.Now}
}

// TestAV3StoreIsRecoveredAboveAllIndexes recovers three members whose data is lost, by the script and by the
// command.
func TestAV3StoreIsRecoveredAboveAllIndexes(t *testing.T) {
	t.Parallel()
	eachStore(t, 3, func(t *testing.T, s *v3Store) {
		backup, seen := s.lose(t)
		for _, way := range []string{"script", "run"} {
			r := s.recovery(t, backup)
			at := time.Now()
			if way == "run" {
				at = at.Add(time.Minute)
			}
			r.Now = func() time.Time { return at }
			p, err := r.Plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if facts := strings.Join(p.Facts, "\n"); !strings.Contains(facts, "indexes continue 1,00") {
				t.Errorf("%s: got the facts %s, want how far indexes continue", way, facts)
			}
			if way == "script" {
				sh := exec.CommandContext(t.Context(), "sh")
				sh.Stdin = strings.NewReader(p.Script)
				if out, err := sh.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s\n%s", err, out, p.Script)
				}
			} else {
				var notes []string
				r.Note = func(text string) { notes = append(notes, text) }
				if _, err := r.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if all := strings.Join(notes, "\n"); !strings.Contains(all, "are exactly those of the backup") {
					t.Errorf("got the notes %s, want that the keys are those of the backup", all)
				}
			}
			seen = s.checkRecovered(t, way, seen)
			if _, err := os.Stat(r.restored()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: %s was left behind: %v", way, r.restored(), err)
			}
			for _, m := range r.Members {
				if _, err := os.Stat(filepath.Join(r.dataDir(m), r.asideName())); err != nil {
					t.Errorf("%s: the old data of %s was not moved aside: %v", way, m.Name, err)
				}
			}
			killAll(t, s.dir)
		}
	})
}

// checkRecovered checks the tree at each member, writes to it, and returns the index of the write.
func (s *v3Store) checkRecovered(t *testing.T, way string, seen uint64) uint64 {
	t.Helper()
	var index uint64
	for i, at := range s.store.Endpoints {
		one := snapshot.Store{Endpoints: s.store.Endpoints[i : i+1], Timeout: s.store.Timeout}
		var before *snapshot.Tree
		r := Recovery{Wait: time.Minute}
		err := r.waitUntil(t.Context(), at.Addr, func() (err error) { // the script waits for the first member only
			before, err = one.Tree(t.Context())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if before.Index <= seen || before.Files != 3+i {
			t.Errorf("%s: %s has %d keys at the index %d, want %d above %d", way, at.Addr, before.Files, before.Index, 3+i, seen)
		}
		w, err := direct.Open(at, "")
		if err != nil {
			t.Fatal(err)
		}
		err = w.Put("/new/"+s.Members[i].Name(), "1")
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		after, err := one.Tree(t.Context())
		if err != nil || after.Index <= before.Index {
			t.Errorf("%s: a write at %s has the index %d, want one above %d: %v", way, at.Addr, after.Index, before.Index, err)
		}
		index = after.Index
	}
	return index
}

// TestAV3StoreThatCannotBeRecoveredIsRefused checks that nothing is planned.
func TestAV3StoreThatCannotBeRecoveredIsRefused(t *testing.T) {
	t.Parallel()
	eachStore(t, 1, func(t *testing.T, s *v3Store) {
		s.put(t, "1", "/a")
		backup := run(t, s.backup(filepath.Join(t.TempDir(), "backups"), time.Now())).Path
		r := s.recovery(t, backup)
		if _, err := r.Plan(t.Context()); !errors.Is(err, ErrLive) {
			t.Errorf("planning while the cluster is alive: got the error %v, want %v", err, ErrLive)
		}
		s.writer.Close()
		s.Close()
		m, err := readManifest(backup)
		if err != nil {
			t.Fatal(err)
		}
		m.Tree.Auth = true
		if err := m.write(backup); err != nil {
			t.Fatal(err)
		}
		if _, err := s.recovery(t, backup).Plan(t.Context()); err == nil || !strings.Contains(err.Error(), "restore-member") {
			t.Errorf("planning with etcd's authentication: got the error %v, want one that names restore-member", err)
		}
		if _, err := s.recovery(t, s.dataDir(0)).Plan(t.Context()); err == nil || !strings.Contains(err.Error(), "backup --offline") {
			t.Errorf("planning from a data folder: got the error %v, want one that names backup --offline", err)
		}
		into := t.TempDir()
		made := MemberRestore{Backup: backup, Restore: snapshot.Restore{Into: into}}
		if _, err := made.Run(t.Context(), func(int64) {}); err == nil || !strings.Contains(err.Error(), "exists already") {
			t.Errorf("restoring into a folder that exists: got the error %v, want that it exists", err)
		}
	})
}

// TestTheOldDataOfAV3StoreIsPutBack undoes a recovery: the cluster is the one from before.
func TestTheOldDataOfAV3StoreIsPutBack(t *testing.T) {
	t.Parallel()
	eachStore(t, 1, func(t *testing.T, s *v3Store) {
		backup, seen := s.lose(t)
		r := s.recovery(t, backup)
		at := time.Now()
		r.Now = func() time.Time { return at }
		if _, err := r.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		u := s.recovery(t, "")
		u.Undo = at.UTC().Format(undoLayout)
		if _, err := u.RunUndo(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		if err := s.Members[0].Start(); err != nil {
			t.Fatal(err)
		}
		if now, err := s.store.Tree(t.Context()); err != nil || now.Index != seen {
			t.Errorf("got %+v, %v; want the tree from before with the index %d", now, err, seen)
		}
	})
}

// TestIndexesContinueAboveThoseOfAllBackups computes how far, without any etcd.
func TestIndexesContinueAboveThoseOfAllBackups(t *testing.T) {
	t.Parallel()
	folder, now := t.TempDir(), time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	manifest := func(age time.Duration, index uint64, prefix string) *Manifest {
		m := &Manifest{MadeBy: madeBy, Time: now.Add(-age), Index: index, Tree: &Tree{Prefix: prefix}}
		path := filepath.Join(folder, m.Time.Format(nameLayout))
		if err := errors.Join(os.Mkdir(path, 0o700), m.write(path)); err != nil {
			t.Fatal(err)
		}
		return m
	}
	old := manifest(24*time.Hour, 5000, "")
	r := &Recovery{Now: func() time.Time { return now }}
	from := &source{path: filepath.Join(folder, "etcd-x"), manifest: old}
	first := r.raise(from)
	if want := uint64(minRaise + (24*3600+1)*maxRate); first != want {
		t.Errorf("got %d above a backup of yesterday, want %d", first, want)
	}
	now = now.Add(time.Minute)
	if again := r.raise(from); again < first+60*maxRate {
		t.Errorf("got %d a minute later, want %d: the first recovery may have served for that time", again, first+60*maxRate)
	}
	manifest(time.Hour, 3_000_000_000, "")
	manifest(2*time.Hour, 9_000_000_000, "other")
	if got, low := r.raise(from), uint64(4_000_000_000); got+5000 <= low || got > low+2*3600*maxRate {
		t.Errorf("got %d with a later backup of the index 3,000,000,000, want more than 1,000,000,000 above that", got)
	}
}
