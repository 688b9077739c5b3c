package recovery

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// Step is one step on one machine.
type Step struct {
	Title  string `json:"title"`
	Member string `json:"member"`
	Host   string `json:"host"`
	// Local is true if the step runs on the first member's machine.
	Local bool `json:"local"`
	// Commands are for sh.
	Commands string `json:"commands"`

	// check checks the effect of the commands. It may be nil.
	check func(context.Context) error
}

// Plan is a recovery before it is carried out.
type Plan struct {
	// Facts are the findings about source and cluster. Advice is what the operator has to
	// do and to know afterwards.
	Facts  []string `json:"facts"`
	Steps  []Step   `json:"steps"`
	Advice []string `json:"advice"`
	Script string   `json:"script"`
}

// plan lists the steps. All members are stopped before any data is moved: two old members
// that still run could elect a leader.
func (r *Recovery) plan(from *source) []Step {
	first := r.Members[0]
	var steps []Step
	add := func(m Member, title, commands string, check func(context.Context) error) {
		steps = append(steps, Step{title, m.Name, m.Host(), r.local(m), commands, check})
	}
	for _, m := range r.Members {
		add(m, "stop etcd on "+m.Name, r.stop(m), func(ctx context.Context) error { return r.waitStopped(ctx, m) })
	}
	for _, m := range r.Members {
		add(m, "move the old data of "+m.Name+" aside", r.moveAside(m), nil)
	}
	add(first, "copy the data to "+first.Name, r.restoreData(first, from), func(context.Context) error { return r.checkCopy(first, from) })
	add(first, "start "+first.Name+" once as a cluster of its own", r.startAlone(first, from), func(ctx context.Context) error { return r.checkAlone(ctx, first, from) })
	add(first, "correct the peer URL of "+first.Name, r.updatePeerURL(first), func(ctx context.Context) error { return r.checkPeerURL(ctx, first) })
	add(first, "restart "+first.Name+" as a normal member", r.restart(first), func(ctx context.Context) error { return r.waitMember(ctx, first) })
	for i, m := range r.Members[1:] {
		add(first, "add "+m.Name+" to the cluster", r.addMember(first, m), func(ctx context.Context) error { return r.checkAdded(ctx, m) })
		// The initial cluster must be exactly the members added so far, or etcd does
		// not start.
		add(m, "start "+m.Name, r.startNew(m, r.Members[:i+2]), nil)
		add(first, "wait until "+m.Name+" has started", r.waitStarted(first, m), func(ctx context.Context) error { return r.waitMember(ctx, m) })
	}
	return steps
}

func (r *Recovery) local(m Member) bool { return m.Host() == r.Members[0].Host() }

func (r *Recovery) dataDir(m Member) string { return strings.ReplaceAll(r.DataDir, "{name}", m.Name) }

// asideName is the name of old data in its data folder. The folder itself stays: it may
// be a mount point, and it has the owner that etcd needs.
func (r *Recovery) asideName() string {
	return "member.before-recovery-" + r.Now().UTC().Format("20060102T150405Z")
}

func (r *Recovery) moveAside(m Member) string {
	dir := r.dataDir(m)
	return fmt.Sprintf(`dir=%s
if [ -d "$dir/member" ]; then
  %s
  mv -T "$dir/member" "$dir/"%s
  sync
elif [ -d "$dir" ] && [ -n "$(ls -A "$dir")" ]; then
  fail "$dir is not empty, but contains no member/ of etcd"
fi
`, quote(dir), r.checkUnused(), r.asideName())
}

// checkUnused fails if an etcd runs on the data: it would continue to write to the moved
// files.
func (r *Recovery) checkUnused() string {
	return `[ ! -e "$dir/member/snap/db" ] || flock --shared --nonblock "$dir/member/snap/db" true || fail "an etcd still runs on $dir: stop it first"`
}

func (r *Recovery) restoreData(m Member, from *source) string {
	dir := r.dataDir(m)
	var b strings.Builder
	source := from.path
	if same, _ := sameFolder(dir, from.path); same {
		source = filepath.Join(dir, r.asideName())
	} else {
		source = filepath.Join(source, "member")
	}
	if from.manifest == nil && source != filepath.Join(dir, r.asideName()) {
		fmt.Fprintf(&b, "dir=%s\n%s\n", quote(from.path), r.checkUnused())
	}
	if from.manifest != nil {
		fmt.Fprintf(&b, "(cd %s && sha256sum --check --quiet %s) || fail 'the backup has changed'\n", quote(from.path), sumsFile)
	}
	owned := ""
	if !r.Foreground {
		owned = "; chown " + quote(r.Owner) + ` "$dir"`
	}
	fmt.Fprintf(&b, `dir=%s
[ -d "$dir" ] || { mkdir -p "$dir"; chmod 700 "$dir"%s; }
rm -rf "$dir/member.partial"
cp -R %s "$dir/member.partial"
diff -r %[3]s "$dir/member.partial" || fail 'the copy differs'
chown -R --reference="$dir" "$dir/member.partial"
chmod -R u=rwX,go= "$dir/member.partial"
sync
mv -T "$dir/member.partial" "$dir/member"
sync
`, quote(dir), owned, quote(source))
	return b.String()
}

// curl returns a command that sends a request to the first member. It fails if the
// response is an error.
func (r *Recovery) curl(words ...string) string {
	all := []string{"curl", "--fail", "--silent", "--show-error", "--noproxy", "*", "--max-time", "10"}
	for _, option := range []struct{ name, value string }{{"--cacert", r.Connection.CA}, {"--cert", r.Connection.Certificate}, {"--key", r.Connection.Key}} {
		if option.value != "" {
			all = append(all, option.name, option.value)
		}
	}
	return quoteAll(append(all, words...))
}

func (r *Recovery) startAlone(m Member, from *source) string {
	return r.start(m, []Member{m}, true) + fmt.Sprintf(`healthy() { %s | grep -q '"health":"true"'; }
wait_for %s 120 healthy
%s | tr -d '\r' | grep -qix 'x-etcd-cluster-id: %s' || fail 'this etcd does not have the data of the backup: check its --data-dir'
`, r.curl(m.Client+"/health"), quote(m.Name+" to answer"), r.curl("--output", "/dev/null", "--dump-header", "-", m.Client+"/v2/members"), from.identity.Cluster)
}

// updatePeerURL sets the peer URL. After --force-new-cluster it is http://localhost:2380,
// whatever the flags say, and no other member could join.
func (r *Recovery) updatePeerURL(m Member) string {
	body := `{"peerURLs":["` + m.Peer + `"]}`
	return fmt.Sprintf(`id=$(%s | sed -n 's/^{"members":\[{"id":"\([0-9a-f]*\)"[^}]*}\]}$/\1/p')
[ -n "$id" ] || fail 'there is not exactly one member'
%s/"$id"
%s | grep -qF %s || fail 'the peer URL has not changed'
`, r.curl(m.Client+"/v2/members"), r.curl("--request", "PUT", "--header", "Content-Type: application/json", "--data", body, m.Client+"/v2/members"),
		r.curl(m.Client+"/v2/members"), quote(`"peerURLs":["`+m.Peer+`"]`))
}

// addMember retries until etcd accepts the member: with --strict-reconfig-check, which is
// the default, etcd refuses for some seconds after another member has joined.
func (r *Recovery) addMember(first, m Member) string {
	body := `{"peerURLs":["` + m.Peer + `"]}`
	return fmt.Sprintf(`added() { %s | grep -qF %s; }
add() { added || %s >/dev/null 2>&1 || added; }
wait_for %s 120 add
`, r.curl(first.Client+"/v2/members"), quote(`"`+m.Peer+`"`),
		r.curl("--request", "POST", "--header", "Content-Type: application/json", "--data", body, first.Client+"/v2/members"), quote("etcd to accept "+m.Name))
}

// startNew starts a member on an empty folder.
func (r *Recovery) startNew(m Member, all []Member) string {
	return fmt.Sprintf("[ ! -e %s/member ] || fail 'the data folder contains old data of etcd: move it aside first'\n", quote(r.dataDir(m))) + r.start(m, all, false)
}

// waitStarted waits until the new member has published its name, which requires a quorum,
// and until the cluster answers quorum reads.
func (r *Recovery) waitStarted(first, m Member) string {
	return fmt.Sprintf(`started() { %s | grep -qF %s && %s >/dev/null; }
wait_for %s 600 started
`, r.curl(first.Client+"/v2/members"), quote(`"name":"`+m.Name+`"`), r.curl(first.Client+"/v2/keys/?quorum=true"), quote(m.Name+" to start"))
}
