package recovery

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
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
	// Undo is the command that plans how to put the old data back.
	Undo string `json:"undo,omitempty"`
}

// stepList collects steps.
type stepList []Step

func (l *stepList) add(r *Recovery, m Member, title, commands string, check func(context.Context) error) {
	*l = append(*l, Step{title, m.Name, m.Host(), r.local(m), commands, check})
}

// plan lists the steps.
func (r *Recovery) plan(from *source) []Step {
	first := r.Members[0]
	var steps stepList
	add := func(m Member, title, commands string, check func(context.Context) error) {
		steps.add(r, m, title, commands, check)
	}
	for _, m := range r.Members {
		add(m, "check how etcd runs on "+m.Name, r.examine(m), nil)
	}
	r.stopAll(add)
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

// stopAll adds the steps that stop all members and move their data aside. All members are stopped before any
// data is moved: two old members that still run could elect a leader.
func (r *Recovery) stopAll(add func(m Member, title, commands string, check func(context.Context) error)) {
	for _, m := range r.Members {
		add(m, "stop etcd on "+m.Name, r.stop(m), func(ctx context.Context) error { return r.waitStopped(ctx, m) })
	}
	for _, m := range r.Members {
		add(m, "move the old data of "+m.Name+" aside", r.moveAside(m), nil)
	}
}

func (r *Recovery) local(m Member) bool { return m.Host() == r.Members[0].Host() }

func (r *Recovery) dataDir(m Member) string { return strings.ReplaceAll(r.DataDir, "{name}", m.Name) }

// walDir returns the folder of the log if it is outside of the data folder, or "".
func (r *Recovery) walDir(m Member) string { return strings.ReplaceAll(r.WALDir, "{name}", m.Name) }

// logDir returns the folder of the log.
func (r *Recovery) logDir(m Member) string { return memberhost.LogOf(r.dataDir(m), r.walDir(m)) }

// sourceFacts says what the recovered cluster will contain.
func (r *Recovery) sourceFacts(from *source) []string {
	target, log := r.dataDir(r.Members[0]), r.walDir(r.Members[0])
	facts := []string{"nothing else may start etcd during the recovery, on any machine: stop configuration management there (puppet agent --disable)"}
	if m := from.manifest; m != nil {
		name := m.Source.Name
		if name == "" {
			name = m.Source.Member.String()
		}
		facts = append(facts, fmt.Sprintf("the source is the backup %s of %s, taken at %s; all of its files are unchanged", from.path, name, m.Time.Format(time.RFC3339)))
		if m.Keys != nil {
			facts = append(facts, fmt.Sprintf("it has %s, of which %d with an expiration, which stays as it is", english.Plural(m.Keys.Count, "key", ""), m.Keys.Expiring))
		}
		if m.Index != 0 {
			facts = append(facts, fmt.Sprintf("writes after index %d are lost", m.Index))
		}
		if m.V3LeftOut != "" {
			facts = append(facts, "WARNING: the backup does not contain "+m.V3LeftOut+". After the recovery they exist only in the old data that is moved aside")
		}
		if other, err := memberhost.Identify(target, log); err == nil && other != from.identity {
			hint := "--backup also accepts a data folder that survived"
			if m.Tree != nil {
				hint = "backup --offline takes a snapshot of a data folder that survived"
			}
			facts = append(facts, target+" has the data of a member ("+other.Member.String()+"), which may be newer than the backup: "+hint)
		}
		if m.Tree != nil {
			facts = append(facts, fmt.Sprintf("indexes continue %s above those of the backup: no cluster can have come so far since then, so none that clients have seen is used again", humanize.Comma(int64(r.raise(from)))))
		}
		return facts
	}
	return append(facts, "its v3 store is kept as well: it is in the same folder", "the source is the data folder "+from.path+" of member "+from.identity.Member.String()+"; it has no manifest to check it against",
		"it must not change any more: if its member is running, it is copied after that has stopped")
}

// advice lists what the operator has to do and to know after the recovery.
func (r *Recovery) advice(from *source) []string {
	advice := []string{"AFTERWARDS",
		"Indexes have gone back to where they were when the data was copied: new writes get indexes that lost writes had. A client that waits with a later waitIndex gets no events and no error until the index has passed it.",
	}
	switch {
	case r.tree != nil:
		advice = []string{"AFTERWARDS",
			"The cluster has another id, and its indexes are above all that clients have seen. Proxies notice that, read the store again and end all watches, so that clients read again. A watch from an older index is told that its events are cleared (401). Clients that keep the id (python-etcd) report that it has changed: restart them.",
			"Set ETCD_INITIAL_CLUSTER of every member (or its source in Puppet) to " + initialCluster(r.Members) + " and ETCD_INITIAL_CLUSTER_STATE to existing.",
			"Take a backup now. The old data (" + r.oldData() + ") can be deleted when nothing is missing.",
		}
		return advice
	case from.manifest != nil:
		advice = append(advice, fmt.Sprintf("The cluster has another id, %s instead of %s. Proxies notice that and end all watches, so that clients read again and start from the new index. Clients that keep the id (python-etcd) report that it has changed: restart them.", from.identity.Cluster, from.manifest.Source.Cluster))
	default:
		advice = append(advice, "The cluster keeps its id, so clients cannot detect the recovery from the id. Proxies end watches when they see that the index went backwards.")
	}
	advice = append(advice,
		"Restart programs that keep an index and use it again: PyBal, etcd-mirror (with --reload), and everything that watches etcd without the proxy. confd, conftool and MediaWiki read again on their own.",
		"In-order keys (POST) are named by the index: new keys may get the names of lost ones, so that a worker mistakes a new job for one that it has done.",
		"Set ETCD_INITIAL_CLUSTER of every member (or its source in Puppet) to "+initialCluster(r.Members)+" and ETCD_INITIAL_CLUSTER_STATE to existing. ETCD_FORCE_NEW_CLUSTER must not be set anywhere.",
		"Take a backup now. The old data ("+r.oldData()+") can be deleted when nothing is missing.",
	)
	return advice
}

// oldData names the folders that hold old data.
func (r *Recovery) oldData() string {
	if r.WALDir != "" {
		return r.asideName() + " in the data folders, and " + r.WALDir + r.asideSuffix()
	}
	return r.asideName() + " in the data folders"
}
