package recovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
)

// check finds mistakes in the options.
func (r *Recovery) check() error {
	if r.DataDir == "" || !filepath.IsAbs(r.DataDir) {
		return fmt.Errorf("--data-dir %q is not an absolute path (hint: a relative path means another folder on other machines)", r.DataDir)
	}
	if err := r.checkLogFolder(); err != nil {
		return err
	}
	folders := make(map[string]string)
	for _, m := range r.Members {
		for _, folder := range []struct{ path, what, flag string }{{r.dataDir(m), "data folder", "--data-dir"}, {r.walDir(m), "folder of the log", "--wal-dir"}} {
			place := m.Host() + ":" + folder.path
			if other, ok := folders[place]; ok && folder.path != "" {
				return fmt.Errorf("%s and %s have the same host and %s (hint: put {name} into %s; it stands for the member's name)", other, m.Name, folder.what, folder.flag)
			}
			folders[place] = m.Name
		}
	}
	if strings.ContainsAny(r.DataDir+r.WALDir+r.Backup+r.BackupWALDir, "\n\r") {
		return errors.New("the name of a folder contains a line break")
	}
	if strings.ContainsAny(r.Service, "/ \n") {
		return fmt.Errorf("--etcd-service %q is not a valid unit name (hint: write it like etcd.service)", r.Service)
	}
	if r.Foreground && net.ParseIP(r.ListenPeer) == nil {
		return fmt.Errorf("--listen-peer %q is not a valid IP address (hint: etcd listens on addresses, not on names; 0.0.0.0 is all of them)", r.ListenPeer)
	}
	if strings.HasPrefix(r.Owner, "-") || strings.ContainsAny(r.Owner, "/ \t\n") {
		return fmt.Errorf("--owner %q is not a valid user:group (hint: write it like etcd:etcd)", r.Owner)
	}
	return nil
}

// checkLogFolder finds mistakes in --wal-dir. A log in the default place counts as one in
// the data folder.
func (r *Recovery) checkLogFolder() error {
	if r.WALDir == "" || filepath.Clean(r.WALDir) == memberhost.LogOf(r.DataDir, "") {
		r.WALDir = ""
	} else if !filepath.IsAbs(r.WALDir) {
		return fmt.Errorf("--wal-dir %q is not an absolute path (hint: a relative path means another folder on other machines)", r.WALDir)
	}
	r.WALDir = strings.TrimRight(r.WALDir, "/")
	for _, pair := range [][2]string{{r.WALDir, r.DataDir}, {r.DataDir, r.WALDir}} {
		inside, err := filepath.Rel(pair[1], pair[0])
		if r.WALDir != "" && err == nil && filepath.IsLocal(inside) {
			return fmt.Errorf("one of --data-dir %s and --wal-dir %s is inside of the other (hint: recover moves both; keep the log next to the data folder, or in its default place)", r.DataDir, r.WALDir)
		}
	}
	for _, arg := range r.EtcdArgs {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if memberhost.Decides(name) {
			return fmt.Errorf("--etcd-arg=%s would move the data or make another cluster (hint: use --data-dir and --wal-dir of this command for folders)", arg)
		}
	}
	return nil
}

// examineHere checks how etcd runs on this machine. The result says what could not be
// found out now, and is left to the script.
func (r *Recovery) examineHere(ctx context.Context) (facts []string, err error) {
	for _, m := range r.Members {
		if !r.local(m) {
			continue
		}
		if err := r.execute(ctx, Step{Local: true, Commands: r.examineFolders(m)}); err != nil {
			return nil, fmt.Errorf("checking how etcd runs on %s: %w", m.Name, err)
		}
		if r.Foreground {
			continue
		}
		host := &memberhost.Member{Unit: r.unit(m), Name: m.Name, DataDir: r.dataDir(m), WALDir: r.walDir(m)}
		switch err := host.CheckUnit(ctx); {
		case errors.Is(err, memberhost.ErrNoManager):
			facts = append(facts, fmt.Sprintf("the unit %s could not be examined here (%v); the first steps of the script do that on each machine", r.unit(m), err))
		case err != nil:
			return nil, err
		}
	}
	return facts, nil
}
