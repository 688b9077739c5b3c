package recovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
)

// Recovery says what to recover a cluster from, and how to run its members.
type Recovery struct {
	// Backup is the folder of a backup, or the data folder of a member that survived.
	Backup string
	// Members are the members of the cluster. The first one is on this machine.
	Members []Member
	// DataDir is etcd's data folder on each machine, with {name} for the member's name.
	DataDir string
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
	// RemoteShell is a command that runs a command on another machine, like ssh. The
	// host and the command are appended.
	RemoteShell string
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
		return nil, nil, nil, err
	}
	add, done := r.Progress.start("bytes of the backup read", -1)
	from, err := openSource(r.Backup, add)
	done()
	if err != nil {
		return nil, nil, nil, err
	}
	target := r.dataDir(r.Members[0])
	if err := checkTarget(target, from.path); err != nil {
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
	p := &Plan{Facts: append(sourceFacts(from, target), facts...), Advice: r.advice(from)}
	p.Steps = r.plan(from)
	p.Script = r.script(p)
	return p, from, states, nil
}

// check finds mistakes in the options.
func (r *Recovery) check() error {
	if r.DataDir == "" || !filepath.IsAbs(r.DataDir) {
		return fmt.Errorf("--data-dir %q is not an absolute path (hint: a relative path means another folder on other machines)", r.DataDir)
	}
	folders := make(map[string]string)
	for _, m := range r.Members {
		place := m.Host() + ":" + r.dataDir(m)
		if other, ok := folders[place]; ok {
			return fmt.Errorf("%s and %s have the same host and data folder (hint: put {name} into --data-dir; it stands for the member's name)", other, m.Name)
		}
		folders[place] = m.Name
	}
	if strings.ContainsAny(r.DataDir+r.Backup, "\n\r") {
		return errors.New("the name of a folder contains a line break")
	}
	if strings.ContainsAny(r.Service, "/ \n") {
		return fmt.Errorf("--etcd-service %q is not a valid unit name (hint: write it like etcd.service)", r.Service)
	}
	return nil
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
	for _, fact := range p.Facts {
		r.note("%s", fact)
	}
	var titles []string
	for _, s := range p.Steps {
		titles = append(titles, s.Title+" ("+s.Host+")")
	}
	if err := r.Confirm(titles...); err != nil {
		return nil, err
	}
	add, done := r.Progress.start("steps", int64(len(p.Steps)))
	for i, s := range p.Steps {
		r.note("%d. %s", i+1, s.Title)
		if err := r.execute(ctx, s); err != nil {
			return nil, fmt.Errorf("step %d, %s: %w (hint: nothing was deleted; old data is in %s)", i+1, s.Title, err, filepath.Join(r.DataDir, r.asideName()))
		}
		add(1)
	}
	done()
	if err := r.compareKeys(ctx, from); err != nil {
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
			return fmt.Errorf("%w: %s", err, lastLines(output.String()))
		}
	} else {
		r.note("run this on %s as root:\n%s", s.Host, prelude+s.Commands)
	}
	if s.check == nil {
		return nil
	}
	return s.check(ctx)
}
