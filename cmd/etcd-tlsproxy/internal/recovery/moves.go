package recovery

import (
	"fmt"
	"path/filepath"
	"strings"
)

// The commands in this file change the folders of a member. etcd's user owns them, so the
// commands run with the rights of that user; see as in the prelude. Each command leaves a
// state from which undo can put the old data back.

// undoLayout is the form of the time that names one recovery.
const undoLayout = "20060102T150405Z"

// asideName is the name of old data in its data folder. The folder itself stays: it may
// be a mount point, and it has the owner that etcd needs.
func (r *Recovery) asideName() string { return "member" + r.asideSuffix() }

func (r *Recovery) asideSuffix() string {
	if r.Undo != "" {
		return ".before-recovery-" + r.Undo
	}
	return ".before-recovery-" + r.Now().UTC().Format(undoLayout)
}

// abandonedSuffix names the data of a recovery that was undone.
func (r *Recovery) abandonedSuffix() string {
	return strings.Replace(r.asideSuffix(), "before", "of", 1)
}

// variables sets the folders of a member.
func (r *Recovery) variables(m Member) string {
	return fmt.Sprintf("dir=%s wal=%s\n", quote(r.dataDir(m)), quote(r.logDir(m)))
}

// examine returns the commands that refuse a member whose data is elsewhere or is not
// understood. They change nothing.
func (r *Recovery) examine(m Member) string { return r.examineFolders(m) + r.examineUnit(m) }

func (r *Recovery) examineFolders(m Member) string {
	return r.variables(m) + `[ ! -L "$dir/member" ] || fail "$dir/member is a link to $(readlink "$dir/member"), which recover does not follow: make the data folder itself a link, or move the data"
[ ! -L "$dir/member/snap" ] || fail "$dir/member/snap is a link to $(readlink "$dir/member/snap"), which recover does not follow: move the data"
[ ! -d "$dir" ] || [ -d "$dir/member" ] || [ -z "$(ls -A "$dir" | grep -v '^member\.\(before\|of\)-recovery-')" ] || fail "$dir is not empty, but contains no member/ of etcd"
[ ! -d "$dir/member/snap" ] || ls "$wal" 2>/dev/null | grep -q '[.]wal$' || fail "$dir/member has snapshots of etcd, but $wal has no log: if etcd runs with --wal-dir or ETCD_WAL_DIR, give that folder to recover with --wal-dir"
[ ! -L "$wal" ] || echo "NOTE: $wal is a link to $(readlink "$wal"). The link is moved aside, and the new log is in a folder in its place, as etcd itself does it." >&2
`
}

// examineUnit returns the command that checks the settings of a unit.
func (r *Recovery) examineUnit(m Member) string {
	if r.Foreground {
		return ""
	}
	words := []string{r.Program, "check-member", "--etcd-service", r.unit(m), "--name", m.Name, "--data-dir", r.dataDir(m)}
	if r.WALDir != "" {
		words = append(words, "--wal-dir", r.walDir(m))
	}
	return fmt.Sprintf("command -v %s >/dev/null || fail \"etcd-tlsproxy is not installed on $(hostname): it has to check how etcd runs there\"\n%s\n", quote(r.Program), quoteAll(words))
}

// createDataDir returns the command that creates a data folder that does not exist. It
// does not follow a link in its place.
func (r *Recovery) createDataDir() string {
	owned := ""
	if !r.Foreground {
		owned = "; chown -h " + quote(r.Owner) + ` "$dir"`
	}
	return `[ -d "$dir" ] || { mkdir -p "$(dirname "$dir")"; mkdir "$dir"` + owned + `; }
owner=$(owner_of "$dir")
`
}

// checkUnused fails if an etcd runs on the data: it would continue to write to the moved
// files.
func (r *Recovery) checkUnused() string {
	return `[ ! -e "$dir/member/snap/db" ] || as "$owner" flock --shared --nonblock "$dir/member/snap/db" true || fail "an etcd still runs on $dir: stop it first"
`
}

// moveAside moves the log first: once the data is aside, its log is, too.
func (r *Recovery) moveAside(m Member) string {
	suffix := r.asideSuffix()
	text := r.clear(m) + r.variables(m) + r.createDataDir() + r.checkUnused() +
		fmt.Sprintf("! exists \"$dir\"/%s || fail \"$dir/%[1]s exists: this script has run before. Put the old data back, or plan again\"\n", r.asideName())
	if r.WALDir != "" {
		text += fmt.Sprintf("aside \"$owner\" \"$wal\" \"$wal\"%s\n", suffix)
	}
	return text + fmt.Sprintf("aside \"$owner\" \"$dir/member\" \"$dir\"/%s\nsync\n", r.asideName())
}

// restoreData copies the source into the empty place of the old data.
func (r *Recovery) restoreData(m Member, from *source) string {
	dir := r.dataDir(m)
	member := filepath.Join(from.path, "member")
	log := from.logDir()
	var b strings.Builder
	same, _ := sameFolder(dir, from.path)
	switch {
	case from.manifest != nil:
		fmt.Fprintf(&b, "(cd %s && sha256sum --check --quiet %s) || fail 'the backup has changed'\n", quote(from.path), sumsFile)
	case same:
		member = filepath.Join(dir, r.asideName())
		if log == r.logDir(m) && r.WALDir != "" {
			log += r.asideSuffix()
		} else if inside, err := filepath.Rel(filepath.Join(dir, "member"), log); err == nil && filepath.IsLocal(inside) {
			log = filepath.Join(member, inside)
		}
	default:
		fmt.Fprintf(&b, "dir=%s\nowner=$(owner_of \"$dir\")\n%s", quote(from.path), r.checkUnused())
	}
	b.WriteString(r.variables(m) + r.createDataDir())
	fmt.Fprintf(&b, "reader=$(owner_of %s)\n", quote(member))
	b.WriteString(r.place(filepath.Join(member, "snap"), log))
	return b.String()
}

// place returns the commands that copy a database and a log into the empty place of the old data.
func (r *Recovery) place(snap, log string) string {
	var b strings.Builder
	b.WriteString(`as "$owner" rm -rf "$dir/member.partial"
as "$owner" mkdir "$dir/member.partial"
`)
	fmt.Fprintf(&b, "copy \"$reader\" %s \"$owner\" \"$dir/member.partial/snap\"\n", quote(snap))
	if r.WALDir != "" {
		fmt.Fprintf(&b, "as \"$owner\" rm -rf \"$wal.partial\"\ncopy \"$reader\" %s \"$owner\" \"$wal.partial\"\nsync\nas \"$owner\" mv -T \"$wal.partial\" \"$wal\"\n", quote(log))
	} else {
		fmt.Fprintf(&b, "copy \"$reader\" %s \"$owner\" \"$dir/member.partial/wal\"\nsync\n", quote(log))
	}
	b.WriteString(`as "$owner" mv -T "$dir/member.partial" "$dir/member"
sync
`)
	return b.String()
}

// undo puts the old data of a member back, whatever step the recovery has reached, and
// keeps the data of the recovery under another name. It can be repeated. Where the
// recovery has not moved anything, etcd is not stopped.
func (r *Recovery) undo(m Member) string {
	old := fmt.Sprintf(`"$dir"/%s`, r.asideName())
	member := fmt.Sprintf("put_back \"$owner\" %s \"$dir/member\" \"$dir/member\"%s", old, r.abandonedSuffix())
	begin := r.clear(m)
	if r.local(m) {
		begin += "rm -rf " + quote(r.restored()) + "\n"
	}
	begin += r.variables(m) + `owner=$(owner_of "$dir" 2>/dev/null || echo 0:0)` + "\n"
	end := "as \"$owner\" rm -rf \"$dir/member.partial\"\nsync\n"
	if r.WALDir == "" {
		return begin + fmt.Sprintf("if exists %s; then\n%s%s%s\nfi\n", old, r.stop(m), r.checkUnused(), member) + end
	}
	// The log was moved first, and is put back first: while the old data is aside, a log
	// in the place of the old one belongs to the recovery, unless it was put back already.
	oldLog := fmt.Sprintf(`"$wal"%s`, r.asideSuffix())
	log := fmt.Sprintf("put_back \"$owner\" %s \"$wal\" \"$wal\"%s", oldLog, r.abandonedSuffix())
	return begin + fmt.Sprintf("if exists %s || exists %s; then\n%s%sif exists %[2]s; then %[5]s; fi\nif exists %[1]s; then %[6]s; fi\nfi\n",
		old, oldLog, r.stop(m), r.checkUnused(), log, member) + "as \"$owner\" rm -rf \"$wal.partial\"\n" + end
}

// undoCommand returns the command line that plans the undo of this recovery.
func (r *Recovery) undoCommand() string {
	words := []string{r.Program, "recover", "--undo", r.Now().UTC().Format(undoLayout), "--data-dir", r.DataDir}
	if r.WALDir != "" {
		words = append(words, "--wal-dir", r.WALDir)
	}
	if r.Foreground {
		words = append(words, "--foreground")
	} else {
		words = append(words, "--etcd-service", r.Service)
	}
	if r.RemoteShell != DefaultRemoteShell {
		words = append(words, "--remote-shell", r.RemoteShell)
	}
	members := make([]string, len(r.Members))
	for i, m := range r.Members {
		members[i] = m.Name + "=" + m.Peer + "+" + m.Client + "+" + m.Advertise
	}
	return quoteAll(append(words, "--members", strings.Join(members, ",")))
}
