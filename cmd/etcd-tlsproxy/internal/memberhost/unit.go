package memberhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Member is how a recovery expects the member of this machine to run.
type Member struct {
	// Unit is the systemd unit of etcd.
	Unit string
	Name string
	// DataDir is the data folder. WALDir is the folder of the log, or "" if the log is in
	// the data folder.
	DataDir, WALDir string
}

// ErrNoManager is returned if the service manager cannot be asked.
var ErrNoManager = errors.New("systemctl cannot describe the unit")

// moving are the properties of a unit with which its etcd could see other files than the
// recovery, or with which other programs could change them.
const moving = "RootDirectory RootImage BindPaths BindReadOnlyPaths TemporaryFileSystem MountImages ExtensionImages DynamicUser " +
	"PassEnvironment UnsetEnvironment ExecCondition ExecStartPre ExecStartPost ExecStop ExecStopPost"

// CheckUnit checks that the unit runs the member as expected.
func (m *Member) CheckUnit(ctx context.Context) error {
	properties, err := m.show(ctx)
	if err != nil {
		return err
	}
	if state := properties["LoadState"]; len(state) != 1 || state[0] != "loaded" {
		return fmt.Errorf("the unit %s is not loaded: %s (hint: give the unit of etcd with --etcd-service)", m.Unit, strings.Join(state, " "))
	}
	for _, name := range strings.Fields(moving) {
		if value := strings.Join(properties[name], " "); value != "" && value != "no" {
			return m.refuse(fmt.Errorf("it has %s=%s, so its etcd may use other files than a recovery sees, or the files may be changed by others (hint: remove it until the recovery has ended, as with systemctl edit)", name, value))
		}
	}
	environment, err := managerEnvironment(ctx)
	if err != nil {
		return err
	}
	if err := m.checkSettings(properties, environment); err != nil {
		return m.refuse(err)
	}
	return nil
}

// checkSettings reads the settings of the unit's etcd and compares them with the expected
// ones. It adds the variables of the unit to the environment.
func (m *Member) checkSettings(properties map[string][]string, environment map[string]string) error {
	if err := readEnvironment(properties, environment); err != nil {
		return err
	}
	s := settings{name: "default"}
	if err := s.setVariables(environment); err != nil {
		return err
	}
	words, err := commandLine(properties["ExecStart"])
	if err != nil {
		return err
	}
	if words, err = expand(words, environment); err != nil {
		return err
	}
	if err := s.setFlags(words); err != nil {
		return err
	}
	return m.compare(&s)
}

func (m *Member) refuse(err error) error { return fmt.Errorf("the unit %s: %w", m.Unit, err) }

// show returns the properties of the unit. A property can have several lines.
func (m *Member) show(ctx context.Context) (map[string][]string, error) {
	names := "LoadState,ExecStart,Environment,EnvironmentFiles," + strings.ReplaceAll(moving, " ", ",")
	lines, err := systemctl(ctx, "show", "--property="+names, "--", m.Unit)
	if err != nil {
		return nil, err
	}
	properties := make(map[string][]string)
	for _, line := range lines {
		if name, value, ok := strings.Cut(line, "="); ok && value != "" {
			properties[name] = append(properties[name], value)
		}
	}
	return properties, nil
}

// managerEnvironment returns the environment that every unit inherits.
func managerEnvironment(ctx context.Context) (map[string]string, error) {
	lines, err := systemctl(ctx, "show-environment")
	if err != nil {
		return nil, err
	}
	environment := make(map[string]string)
	for _, line := range lines {
		if name, value, ok := strings.Cut(line, "="); ok && isVariable(name) {
			environment[name] = value
		}
	}
	return environment, nil
}

// systemctl returns the lines that systemctl prints.
func systemctl(ctx context.Context, args ...string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "systemctl", args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
		}
		return nil, fmt.Errorf("%w: %w", ErrNoManager, err)
	}
	return strings.Split(string(out), "\n"), nil
}

// readEnvironment adds the variables of a unit and of its files.
func readEnvironment(properties map[string][]string, environment map[string]string) error {
	for _, text := range properties["Environment"] {
		if err := assignments(text, environment); err != nil {
			return fmt.Errorf("reading Environment=: %w", err)
		}
	}
	for _, text := range properties["EnvironmentFiles"] {
		path, rest, _ := strings.Cut(text, " (")
		if strings.ContainsAny(path, "*?[") {
			return fmt.Errorf("EnvironmentFile=%s is a pattern (hint: name each file)", path)
		}
		if err := readEnvironmentFile(path, rest == "ignore_errors=yes)", environment); err != nil {
			return fmt.Errorf("reading EnvironmentFile=: %w", err)
		}
	}
	return nil
}

// commandLine returns the words behind the name of the program, as in
// { path=/usr/bin/etcd ; argv[]=/usr/bin/etcd $DAEMON_ARGS ; ignore_errors=no ; ... }.
func commandLine(commands []string) ([]string, error) {
	if len(commands) != 1 {
		return nil, fmt.Errorf("it has %d commands in ExecStart=, want one, that of etcd", len(commands))
	}
	_, rest, ok := strings.Cut(commands[0], "path=")
	program, rest, ok2 := strings.Cut(rest, " ; argv[]=")
	argv, _, ok3 := strings.Cut(rest, " ; ignore_errors=")
	words := strings.Fields(argv)
	if !ok || !ok2 || !ok3 || len(words) == 0 {
		return nil, fmt.Errorf("ExecStart=%s is not in the form that systemctl usually prints", commands[0])
	}
	if filepath.Base(program) != "etcd" || !isBinary(program) {
		return nil, fmt.Errorf("it starts %s, which is not the program etcd itself, so it is unknown what it does with the data (hint: a unit for the time of the recovery must start etcd without a shell, a script or a container)", program)
	}
	return words[1:], nil
}

// isBinary reports whether a file is a program for the system, and not a script.
func isBinary(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	var magic [4]byte
	_, err = io.ReadFull(file, magic[:])
	return err == nil && string(magic[:]) == "\x7fELF"
}

// compare compares the settings of the unit with the expected ones.
func (m *Member) compare(s *settings) error {
	if s.name != m.Name {
		return fmt.Errorf("its etcd has the name %q, but --members names this machine's member %q (hint: correct ETCD_NAME or --members)", s.name, m.Name)
	}
	if !filepath.IsAbs(s.dataDir) {
		return fmt.Errorf("its etcd has the data folder %q, which is not an absolute path (hint: set ETCD_DATA_DIR)", s.dataDir)
	}
	if filepath.Clean(s.dataDir) != filepath.Clean(m.DataDir) {
		return fmt.Errorf("its etcd has the data folder %s, but --data-dir is %s (hint: give --data-dir %[1]s)", s.dataDir, m.DataDir)
	}
	if s.walDir != "" && !filepath.IsAbs(s.walDir) {
		return fmt.Errorf("its etcd has the log in %q, which is not an absolute path (hint: set ETCD_WAL_DIR to an absolute path)", s.walDir)
	}
	switch LogOf(m.DataDir, s.walDir) {
	case LogOf(m.DataDir, m.WALDir):
		return nil
	case LogOf(m.DataDir, ""):
		return fmt.Errorf("its etcd has the log in the data folder, but --wal-dir is %s (hint: leave --wal-dir out, or set ETCD_WAL_DIR)", m.WALDir)
	}
	return fmt.Errorf("its etcd has the log in %s, outside of the data folder (hint: give --wal-dir %[1]s)", s.walDir)
}

// LogOf returns the folder of the log of a member. walDir is empty if the log is in the
// data folder.
func LogOf(dataDir, walDir string) string {
	if walDir == "" {
		return filepath.Join(dataDir, "member", "wal")
	}
	return filepath.Clean(walDir)
}
