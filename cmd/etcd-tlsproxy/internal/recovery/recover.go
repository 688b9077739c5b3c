package recovery

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/etcdtool"
	"etcd-tlsproxy/cmd/internal/usage"
)

// Recovery says what to recover a cluster from, and how to run its members.
type Recovery struct {
	// Backup is the folder of a backup, or the data folder of a member that survived.
	// BackupWALDir is the folder of the log of that member if it is outside of the data
	// folder. For a folder that is also the target, WALDir is the default.
	Backup, BackupWALDir string
	// Members are the members of the cluster. The first one is on this machine.
	Members []Member
	// DataDir is etcd's data folder on each machine, with {name} for the member's name.
	DataDir string
	// WALDir is the folder of etcd's log on each machine, with {name} for the member's
	// name, or "" if the log is in the data folder.
	WALDir string
	// Owner is the owner of a data folder that does not exist yet.
	Owner string
	// Service is the systemd unit, with {name} for the member's name. With Foreground
	// etcd is started as a process instead. It listens for peers on ListenPeer and gets
	// EtcdArgs in addition to the flags that it needs.
	Service    string
	Foreground bool
	ListenPeer string
	Etcd       string
	EtcdArgs   []string
	// Tool is etcdutl, or etcdctl before etcd 3.6, or "" for the one in PATH. It restores snapshots.
	Tool string
	// RemoteShell is a command that runs a command on another machine, like ssh. The
	// host and the command are appended.
	RemoteShell string
	// Program is this program, for the commands that use it on each machine.
	Program string
	// Undo is the time in the name of the old data of an earlier recovery, which PlanUndo
	// and RunUndo put back.
	Undo string
	// Wait is the maximum time until a step has its effect.
	Wait time.Duration
	// Connection has the files for https and the timeout of a request.
	Connection cluster.Connection

	// Note reports each step, and Progress how far it has come. Both may be nil.
	Note     func(text string)
	Progress Progress
	// Confirm returns an error unless the operator has agreed to the steps.
	Confirm func(steps ...string) error

	Now func() time.Time

	// tree is set if the source is a snapshot of a v3 store.
	tree *Tree
}

// Plan checks the backup and the state of the cluster, and lists the steps. It changes
// nothing.
func (r *Recovery) Plan(ctx context.Context) (*Plan, error) {
	p, _, _, err := r.prepare(ctx)
	return p, err
}

func (r *Recovery) prepare(ctx context.Context) (*Plan, *source, map[string]state, error) {
	at := r.Now()
	r.Now = func() time.Time { return at } // all steps use one name for old data
	if err := r.check(); err != nil {
		return nil, nil, nil, usage.Mark(err)
	}
	add, done := r.Progress.start("bytes of the backup read", -1)
	from, err := r.openSource(add)
	done()
	if err != nil {
		return nil, nil, nil, err
	}
	if from.manifest != nil && from.manifest.Tree != nil {
		r.tree = from.manifest.Tree
		err = r.checkRestorable(from.manifest)
	} else if from.manifest == nil {
		err = checkNoTree(from.path)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	first := r.Members[0]
	for _, target := range []string{r.dataDir(first), r.walDir(first)} {
		if err := checkTarget(target, from); target != "" && err != nil {
			return nil, nil, nil, err
		}
	}
	unit, err := r.examineHere(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	states, err := r.probeMembers(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	facts, err := r.checkNotLive(states)
	if err != nil {
		return nil, nil, nil, err
	}
	facts = append(append(r.sourceFacts(from), unit...), facts...)
	p := &Plan{Facts: facts, Advice: r.advice(from), Undo: r.undoCommand()}
	if r.tree != nil {
		p.Steps = r.planV3(from)
	} else {
		p.Steps = r.plan(from)
	}
	p.Script = r.script(p)
	return p, from, states, nil
}

// Text writes the script.
func (p *Plan) Text(w io.Writer) error {
	_, err := io.WriteString(w, p.Script)
	return err
}

// Run executes the steps for this machine in order, with a check after each. For a step on
// another machine it prints the commands and waits for their effect.
func (r *Recovery) Run(ctx context.Context) (*Plan, error) {
	p, from, states, err := r.prepare(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range r.Members {
		if states[m.Name] == unreachable {
			return nil, fmt.Errorf("it is unknown whether %s is running: its host does not answer, and the cluster may be alive without this machine (hint: if the host is lost, leave it out of --members and add it when it is back)", m.Name)
		}
	}
	if err := r.carryOut(ctx, p); err != nil {
		return nil, err
	}
	if err := r.compareKeys(ctx, from); err != nil {
		return nil, err
	}
	for _, advice := range p.Advice {
		r.note("%s", advice)
	}
	return p, nil
}

// carryOut executes the steps of a plan after the operator has agreed to them.
func (r *Recovery) carryOut(ctx context.Context, p *Plan) error {
	for _, fact := range p.Facts {
		r.note("%s", fact)
	}
	var titles []string
	for _, s := range p.Steps {
		titles = append(titles, s.Title+" ("+s.Host+")")
	}
	if err := r.Confirm(titles...); err != nil {
		return err
	}
	hint := "nothing was deleted; the command can be repeated"
	if p.Undo != "" {
		r.note("this plans how to put the old data back, at any time:\n%s", p.Undo)
		hint = "nothing was deleted; this plans how to put the old data back: " + p.Undo
	}
	add, done := r.Progress.start("steps", int64(len(p.Steps)))
	for i, s := range p.Steps {
		r.note("%d. %s", i+1, s.Title)
		if err := r.execute(ctx, s); err != nil {
			return fmt.Errorf("step %d, %s: %w (hint: %s)", i+1, s.Title, err, hint)
		}
		add(1)
	}
	done()
	return nil
}

// PlanUndo lists the steps that put the data from before a recovery back. It changes
// nothing.
func (r *Recovery) PlanUndo() (*Plan, error) {
	if _, err := time.Parse(undoLayout, r.Undo); err != nil {
		return nil, usage.Mark(fmt.Errorf("--undo %q is not the time of a recovery (hint: it is the end of the names of the old data, as in member.before-recovery-20261124T020000Z)", r.Undo))
	}
	if err := r.check(); err != nil {
		return nil, usage.Mark(err)
	}
	p := &Plan{Facts: []string{"the data of the recovery is kept, under names that end with " + r.abandonedSuffix()}}
	for _, m := range r.Members {
		p.Steps = append(p.Steps, Step{Title: "put the old data of " + m.Name + " back", Member: m.Name, Host: m.Host(), Local: r.local(m), Commands: r.undo(m)})
	}
	p.Advice = []string{"AFTERWARDS", "Start etcd on all members. They are the cluster from before the recovery, which may still have no quorum."}
	p.Script = r.script(p)
	return p, nil
}

// RunUndo executes the steps of PlanUndo for this machine, and prints those for others.
func (r *Recovery) RunUndo(ctx context.Context) (*Plan, error) {
	p, err := r.PlanUndo()
	if err != nil {
		return nil, err
	}
	if err := r.carryOut(ctx, p); err != nil {
		return nil, err
	}
	for _, advice := range p.Advice {
		r.note("%s", advice)
	}
	return p, nil
}

func (r *Recovery) execute(ctx context.Context, s Step) error {
	if s.Local {
		cmd := exec.CommandContext(ctx, "sh", "-c", prelude+s.Commands)
		var output strings.Builder
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%w: %s", err, etcdtool.LastLines(output.String()))
		}
	} else {
		r.note("run this on %s as root:\n%s", s.Host, prelude+s.Commands)
	}
	if s.check == nil {
		return nil
	}
	return s.check(ctx)
}
