package recovery

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// lostCluster is a cluster whose members have all stopped, with a backup of it.
type lostCluster struct {
	members []Member
	dir     string
	backup  string
	want    *written
	id      string
}

// loseCluster starts a cluster, writes keys, takes a backup and stops the members. With
// separate their logs are in folders outside of the data folders.
func loseCluster(t *testing.T, separate bool) *lostCluster {
	t.Helper()
	c, folders := startCluster(t, 3)
	l := &lostCluster{members: spec(t, c.Members), dir: filepath.Dir(filepath.Dir(folders[0]))}
	t.Cleanup(func() { killAll(t, l.dir) })
	l.want = fill(t, c.Members[1].URL())
	l.backup = run(t, newBackup(t, c.Members[0].URL(), folders[0])).Path
	put(t, c.Members[0].URL(), "/later", "1")
	l.id = clusterID(t, c.Members[0].URL())
	c.Close()
	http.DefaultClient.CloseIdleConnections()
	for i, folder := range folders {
		if separate {
			if err := os.Rename(filepath.Join(folder, "member", "wal"), l.log(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return l
}

func (l *lostCluster) log(i int) string { return filepath.Join(l.dir, l.members[i].Name, "wal-folder") }

// recovery returns a recovery at a time of its own.
func (l *lostCluster) recovery(t *testing.T, separate bool, number int) *Recovery {
	r := newRecovery(t, l.dir, l.backup, l.members)
	r.EtcdArgs = []string{"--strict-reconfig-check=false"}
	r.Connection.Timeout = time.Second
	if separate {
		r.WALDir = filepath.Join(l.dir, "{name}", "wal-folder")
	}
	at := time.Date(2026, 11, 24, 7, 0, number, 0, time.UTC)
	r.Now = func() time.Time { return at }
	return r
}

// undo returns the recovery that the hint of r names.
func (l *lostCluster) undo(t *testing.T, separate bool, r *Recovery) *Recovery {
	u := l.recovery(t, separate, 0)
	u.Backup, u.Undo = "", r.Now().Format(undoLayout)
	if command := r.undoCommand(); !strings.Contains(command, "--undo "+u.Undo) {
		t.Errorf("the command of the hint: got %s, want the time %s", command, u.Undo)
	}
	return u
}

func clusterID(t *testing.T, member string) string {
	t.Helper()
	resp, err := http.Get(member + "/v2/members")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.Header.Get("X-Etcd-Cluster-Id")
}

// state returns all files of the members with their digests. Data of recoveries that were
// undone is left out, and then removed; so are the logs and ids of processes.
func (l *lostCluster) state(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(l.dir, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case strings.Contains(name, ".of-recovery-"):
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			return fs.SkipDir
		case entry.IsDir():
			files[path] = "folder"
			return nil
		case strings.HasPrefix(name, "data."):
			return nil
		}
		text, err := os.ReadFile(path)
		files[path] = fmt.Sprintf("%x", sha256.Sum256(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func checkState(t *testing.T, when string, got, want map[string]string) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if got[path] != want[path] {
			t.Errorf("%s: %s has changed or is missing", when, path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(got)) {
		if want[path] == "" {
			t.Errorf("%s: %s should not exist", when, path)
		}
	}
}

// TestTheOldDataCanBePutBackAfterEveryStep ends a recovery after each of its steps, and
// then follows the hint of the message.
func TestTheOldDataCanBePutBackAfterEveryStep(t *testing.T) {
	t.Parallel()
	const separate = true
	l := loseCluster(t, separate)
	want := l.state(t)
	for step, steps := 0, 1; step < steps; step++ {
		r := l.recovery(t, separate, step)
		p, err := r.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		steps = len(p.Steps)
		if step < steps-1 && !l.isCrashPoint(p.Steps[step].Title) {
			continue
		}
		// The step after it fails.
		interrupted := *r
		p.Steps = append(p.Steps[:step+1:step+1], Step{Title: "crash", Local: true, Commands: "exit 1\n"})
		if err := interrupted.carryOut(t.Context(), p); err == nil || !strings.Contains(err.Error(), p.Undo) {
			t.Fatalf("a crash after step %d: got the error %v, want one that contains %q", step+1, err, p.Undo)
		}
		for range 1 + step/(steps-1) { // it can be repeated
			if _, err := l.undo(t, separate, r).RunUndo(t.Context()); err != nil {
				t.Fatalf("putting the old data back after step %d, %s: %v", step+1, p.Steps[step].Title, err)
			}
		}
		checkState(t, fmt.Sprintf("after step %d, %s", step+1, p.Steps[step].Title), l.state(t), want)
	}
	l.comesUp(t, separate)
}

// isCrashPoint reports whether a step leaves another state than the one before. The third
// member joins like the second.
func (l *lostCluster) isCrashPoint(title string) bool {
	third := l.members[2].Name
	return !strings.HasPrefix(title, "check") && !strings.HasPrefix(title, "wait") && !strings.HasPrefix(title, "add "+third) && title != "start "+third &&
		(!strings.HasPrefix(title, "stop") || strings.HasSuffix(title, third))
}

// comesUp starts the members, and checks that they are the cluster that they were.
func (l *lostCluster) comesUp(t *testing.T, separate bool) {
	t.Helper()
	r := l.recovery(t, separate, 0)
	for _, m := range l.members {
		if err := r.execute(t.Context(), Step{Local: true, Commands: r.start(m, l.members, false)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range l.members {
		if err := r.execute(t.Context(), Step{Local: true, Commands: r.waitHealthy(m)}); err != nil {
			t.Fatal(err)
		}
	}
	checkRecovered(t, l.members, l.want)
	if got := clusterID(t, l.members[0].Client); got != l.id {
		t.Errorf("the cluster's id: got %s, want %s", got, l.id)
	}
	if status, _ := read(t, l.members[0].Client, "/later"); status != http.StatusOK {
		t.Errorf("a key that was written after the backup: got status %d, want 200", status)
	}
}

// changesFiles matches a line of a script that changes files.
var changesFiles = regexp.MustCompile(`\b(aside|copy|mv|mkdir|rm)\b`)

// TestTheOldDataCanBePutBackAfterEveryCommand kills the shell after each command that
// moves or copies files.
func TestTheOldDataCanBePutBackAfterEveryCommand(t *testing.T) {
	t.Parallel()
	for _, separate := range []bool{false, true} {
		t.Run(fmt.Sprintf("separate log %t", separate), func(t *testing.T) {
			t.Parallel()
			l := loseCluster(t, separate)
			want := l.state(t)
			m := l.members[0]
			number, killed := 0, 0
			r := l.recovery(t, separate, 0)
			r.Foreground = true
			from, err := r.openSource(func(int64) {})
			if err != nil {
				t.Fatal(err)
			}
			for end, lines := 1, []string{""}; end <= len(lines); end++ {
				number++
				r := l.recovery(t, separate, number)
				lines = strings.SplitAfter(r.moveAside(m)+r.restoreData(m, from), "\n")
				part := prelude + strings.Join(lines[:min(end, len(lines))], "")
				if last := lines[min(end, len(lines))-1]; !changesFiles.MatchString(last) || exec.Command("sh", "-nc", part).Run() != nil {
					continue // it changes nothing, or ends within a command
				}
				killed++
				out, err := exec.Command("sh", "-c", part+"\nkill -9 $$").CombinedOutput()
				if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != -1 {
					t.Fatalf("%d lines: got the error %v, want that the shell is killed\n%s", end, err, out)
				}
				undo := l.undo(t, separate, r)
				undo.Members = l.members[:1]
				if _, err := undo.RunUndo(t.Context()); err != nil {
					t.Fatalf("putting the old data back after %d lines: %v", end, err)
				}
				checkState(t, fmt.Sprintf("after %d lines, %s", end, lines[min(end, len(lines))-1]), l.state(t), want)
			}
			if killed < 6 {
				t.Errorf("got %d commands that change files, want at least 6", killed)
			}
		})
	}
}

// TestALogInAFolderOfItsOwnIsReplacedAndNotRuined recovers with --wal-dir, from a backup
// and from a member's own folders.
func TestALogInAFolderOfItsOwnIsReplacedAndNotRuined(t *testing.T) {
	t.Parallel()
	const separate = true
	l := loseCluster(t, separate)
	before := l.state(t)
	r := l.recovery(t, separate, 0)
	r.WALDir = ""
	if p, err := r.Plan(t.Context()); err == nil || !strings.Contains(err.Error(), "has no log: if etcd runs with --wal-dir or ETCD_WAL_DIR, give that folder") {
		t.Errorf("planning without --wal-dir: got %+v and the error %v, want a hint to --wal-dir", p, err)
	}
	for number, source := range []string{l.backup, filepath.Join(l.dir, l.members[0].Name, "data")} {
		r := l.recovery(t, separate, number+1)
		r.Backup = source
		if _, err := r.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		checkRecovered(t, l.members, l.want)
		for i := range l.members {
			old := l.log(i) + r.asideSuffix()
			if segments, err := filepath.Glob(filepath.Join(old, "*.wal")); err != nil || len(segments) == 0 {
				t.Errorf("the old log in %s: got %v (%v), want its files", old, segments, err)
			}
			for path, digest := range before {
				if name, ok := strings.CutPrefix(path, l.log(i)+"/"); ok && number == 0 {
					text, err := os.ReadFile(filepath.Join(old, name))
					if fmt.Sprintf("%x", sha256.Sum256(text)) != digest || err != nil {
						t.Errorf("%s of the old log has changed (%v)", name, err)
					}
				}
			}
		}
		killAll(t, l.dir)
	}
}

// TestALogBehindALinkIsNotTouched has the log of a member behind a link, which etcd
// itself replaces when it creates a log.
func TestALogBehindALinkIsNotTouched(t *testing.T) {
	t.Parallel()
	l := loseCluster(t, false)
	elsewhere := t.TempDir()
	for _, m := range l.members {
		wal := filepath.Join(l.dir, m.Name, "data", "member", "wal")
		disk := filepath.Join(elsewhere, m.Name)
		if err := os.Rename(wal, disk); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(disk, wal); err != nil {
			t.Fatal(err)
		}
	}
	disks := &lostCluster{dir: elsewhere}
	want := disks.state(t)
	r := l.recovery(t, false, 1)
	r.Backup = filepath.Join(l.dir, l.members[0].Name, "data")
	if _, err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkRecovered(t, l.members, l.want)
	killAll(t, l.dir)
	checkState(t, "after a recovery", disks.state(t), want)
	if _, err := l.undo(t, false, r).RunUndo(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.comesUp(t, false)
	for _, link := range []string{"member", "member/snap"} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(link)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(elsewhere, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
		r := l.recovery(t, false, 2)
		r.DataDir = dir
		out, err := exec.Command("sh", "-c", prelude+r.examineFolders(l.members[0])).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "is a link to "+elsewhere) {
			t.Errorf("%s is a link: got the error %v and %s, want that it is refused", link, err, out)
		}
	}
}

func TestFoldersOfTheLogThatCannotBeRecoveredAreRefused(t *testing.T) {
	d := Defaults{ListenClient: "http://127.0.0.1:1", PeerScheme: "http", PeerPort: 2, ClientScheme: "http", ProxyPort: 3}
	members, err := d.Members([]string{"a=127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Recovery){
		"is not an absolute path": func(r *Recovery) { r.WALDir = "wal" },
		"is inside of the other":  func(r *Recovery) { r.WALDir = "/srv/etcd/log" },
		"would move the data":     func(r *Recovery) { r.EtcdArgs = []string{"-wal-dir=/x"} },
		"have the same host and folder of the log": func(r *Recovery) {
			r.WALDir, r.DataDir, r.Members = "/srv/wal", "/srv/{name}", []Member{members[0], {"b", "http://127.0.0.1:4", members[0].Client, members[0].Advertise}}
		},
	} {
		r := &Recovery{DataDir: "/srv/etcd", Members: members, Now: time.Now}
		change(r)
		if err := r.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got the error %v, want %q", err, want)
		}
	}
	r := &Recovery{DataDir: "/srv/etcd", WALDir: "/srv/etcd/member/wal/", Members: members, Now: time.Now}
	if err := r.check(); err != nil || r.WALDir != "" {
		t.Errorf("the default place of the log: got %q and the error %v, want the folder in the data folder", r.WALDir, err)
	}
	for _, undo := range []string{"20261124", "x; reboot"} {
		r.Undo = undo
		if p, err := r.PlanUndo(); err == nil || !strings.Contains(err.Error(), "is not the time of a recovery") {
			t.Errorf("--undo %q: got %+v and the error %v, want that it is refused", undo, p, err)
		}
	}
}

// TestTheRightsOfRootAreNotUsedInFoldersOfEtcd has a log that its owner has replaced by
// a link to files of root.
func TestTheRightsOfRootAreNotUsedInFoldersOfEtcd(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root has rights that other users have not")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "recovery")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	secret := filepath.Join(dir, "secret")
	writeFile(t, filepath.Join(secret, "0-0.wal"), "secret")
	data := filepath.Join(dir, "data")
	writeFile(t, filepath.Join(data, "member", "snap", "db"), "db")
	for link, target := range map[string]string{"data/member/wal": secret, "data/member.partial": secret} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"data", "data/member", "data/member/snap", "data/member/snap/db", "data/member/wal", "data/member.partial"} {
		if err := os.Lchown(filepath.Join(dir, path), nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d := Defaults{ListenClient: "http://127.0.0.1:1", PeerScheme: "http", PeerPort: 2, ClientScheme: "http", ProxyPort: 3}
	members, err := d.Members([]string{"a=127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	r := &Recovery{DataDir: data, Members: members, Foreground: true, Now: func() time.Time { return time.Unix(0, 0) }}
	script := func(commands string) (string, error) {
		out, err := exec.Command("sh", "-c", prelude+commands).CombinedOutput()
		return string(out), err
	}
	own := &source{path: data}
	out, err := script(r.moveAside(members[0]) + r.restoreData(members[0], own))
	if err == nil || !strings.Contains(out, "Permission denied") {
		t.Errorf("copying a log that is a link to files of root: got the error %v and %s, want that it is refused", err, out)
	}
	if got, err := os.ReadFile(filepath.Join(secret, "0-0.wal")); string(got) != "secret" || err != nil {
		t.Errorf("root's file: got %q, %v; want it unchanged", got, err)
	}
	// A source of root's is copied with the rights of both.
	backup := filepath.Join(secret, "backup")
	writeFile(t, filepath.Join(backup, "member", "snap", "db"), "new")
	writeFile(t, filepath.Join(backup, "member", "wal", "0-0.wal"), "log")
	if out, err := script(r.restoreData(members[0], &source{path: backup})); err != nil {
		t.Fatalf("copying root's folder: got the error %v and %s", err, out)
	}
	copied := filepath.Join(data, "member", "wal", "0-0.wal")
	if text, err := os.ReadFile(copied); err != nil || !bytes.Equal(text, []byte("log")) {
		t.Errorf("the copy: got %q, %v; want %q", text, err, "log")
	}
	if out, err := exec.Command("stat", "-c", "%u %a", copied).Output(); err != nil || string(out) != "65534 600\n" {
		t.Errorf("owner and mode of the copy: got %q (%v), want 65534 600", out, err)
	}
}
