package memberhost

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// unitFile is what a test says about a unit.
type unitFile struct {
	environment string // of Environment=
	file        string // the content of the environment file
	arguments   string // on the command line
	more        string // other properties
	manager     string // the environment of the service manager
	program     string
}

// host makes systemctl describe a unit.
func host(t *testing.T, u unitFile) *Member {
	t.Helper()
	dir := t.TempDir()
	if u.program == "" {
		u.program = filepath.Join(dir, "etcd")
		writeFile(t, u.program, "\x7fELF")
	}
	environment := filepath.Join(dir, "environment")
	writeFile(t, environment, u.file)
	show := strings.Join([]string{"LoadState=loaded",
		"ExecStart={ path=" + u.program + " ; argv[]=" + u.program + " " + u.arguments + " ; ignore_errors=no ; start_time=[n/a] ; pid=0 }",
		"Environment=" + u.environment, "EnvironmentFiles=" + environment + " (ignore_errors=yes)", "EnvironmentFiles=/nowhere (ignore_errors=yes)",
		"RootDirectory=", u.more}, "\n")
	writeFile(t, filepath.Join(dir, "show"), show)
	writeFile(t, filepath.Join(dir, "systemctl"), "#!/bin/sh\nif [ \"$1\" = show ]; then cat \""+dir+"/show\"; else cat \""+dir+"/manager\"; fi\n")
	writeFile(t, filepath.Join(dir, "manager"), u.manager)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return &Member{Unit: "etcd.service", Name: "conf1001", DataDir: "/var/lib/etcd/default"}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// flagless is the usual environment without one variable, so that another place counts.
func flagless(option string) string {
	all := strings.Fields(usual)
	return strings.Join(slices.DeleteFunc(all, func(variable string) bool {
		return strings.HasPrefix(variable, "ETCD_"+strings.ToUpper(strings.ReplaceAll(option, "-", "_"))+"=")
	}), " ")
}

// usual is the environment of Debian's unit.
const usual = "DAEMON_ARGS= ETCD_NAME=conf1001 ETCD_DATA_DIR=/var/lib/etcd/default"

func TestAMemberMayRunInTheseWays(t *testing.T) {
	for what, u := range map[string]unitFile{
		"variables of the unit":             {environment: usual},
		"variables of a file":               {file: "# etcd\n; etcd\nETCD_NAME=\"conf1001\"\n ETCD_DATA_DIR='/var/lib/etcd/default/'\nETCD_WAL_DIR=\n"},
		"a file that replaces the unit's":   {environment: "ETCD_NAME=%H ETCD_DATA_DIR=/elsewhere", file: "ETCD_NAME=conf1001\nETCD_DATA_DIR=/var/lib/etcd/default"},
		"flags with an equals sign":         {arguments: "--name=conf1001 -data-dir=/var/lib/etcd/default"},
		"flags with a blank":                {arguments: "-name conf1001 --enable-v2 --data-dir /var/lib/etcd/default"},
		"flags that replace variables":      {environment: "ETCD_NAME=a ETCD_DATA_DIR=/b", arguments: "--name conf1001 --data-dir /var/lib/etcd/default"},
		"flags in a variable":               {environment: `"DAEMON_ARGS=--name conf1001 --data-dir=/var/lib/etcd/default"`, arguments: "$DAEMON_ARGS"},
		"parts of flags in variables":       {environment: "HOST=1001 TOP=/var", arguments: "--name=conf${HOST} --data-dir=${TOP}/lib/etcd/default"},
		"the last of two flags":             {arguments: "--name=x --name=conf1001 --data-dir=/x --data-dir=/var/lib/etcd/default"},
		"other variables":                   {environment: usual + " ETCD_UNSUPPORTED_ARCH=arm64 GOMAXPROCS=2 ETCD_ENABLE_V2=true ETCD_PROXY=off ETCD_FORCE_NEW_CLUSTER=false"},
		"a cluster that the recovery sets":  {environment: usual + " ETCD_INITIAL_CLUSTER=a=http://a:1 ETCD_DISCOVERY_SRV=example.org ETCD_INITIAL_CLUSTER_STATE=new"},
		"the log's default place, by name":  {environment: usual + " ETCD_WAL_DIR=/var/lib/etcd/default/member/wal"},
		"properties that change no folders": {environment: usual, more: "DynamicUser=no\nPassEnvironment=\nTemporaryFileSystem="},
	} {
		if err := host(t, u).CheckUnit(t.Context()); err != nil {
			t.Errorf("%s: got the error %v, want none", what, err)
		}
	}
}

// TestEachWayToMoveDataIsFoundOrRefused has each option of etcd that moves data, in each
// place where it can be given.
func TestEachWayToMoveDataIsFoundOrRefused(t *testing.T) {
	for _, option := range []struct{ name, value, want string }{
		{"data-dir", "/srv/etcd", "(hint: give --data-dir /srv/etcd)"},
		{"data-dir", "etcd", "not an absolute path"},
		{"wal-dir", "/srv/wal", "(hint: give --wal-dir /srv/wal)"},
		{"wal-dir", "wal", "not an absolute path"},
		{"name", "conf1002", `the name "conf1002"`},
		{"config-file", "/etc/etcd.yml", "ignores all flags and variables"},
		{"proxy", "on", "is not a member"},
		{"force-new-cluster", "true", "a cluster of one member"},
		{"experimental-enable-v2v3", "/v2", "the v2 keys are then in the v3 store"},
		{"data-dir-of-the-future", "/x", "is not an option that a recovery knows"},
	} {
		variable := "ETCD_" + strings.ToUpper(strings.ReplaceAll(option.name, "-", "_"))
		flags := "--name=conf1001 --data-dir=/var/lib/etcd/default "
		places := map[string]unitFile{
			"Environment=":     {environment: usual + " " + variable + "=" + option.value},
			"EnvironmentFile=": {environment: usual, file: variable + "=\"" + option.value + "\"\n"},
			"the manager":      {environment: flagless(option.name), manager: "LANG=C\n" + variable + "=" + option.value + "\n"},
			"a flag":           {arguments: flags + "--" + option.name + "=" + option.value},
			"a short flag":     {arguments: flags + "-" + option.name + "=" + option.value},
			"a variable flag":  {environment: `"DAEMON_ARGS=--` + option.name + "=" + option.value + `"`, arguments: flags + "$DAEMON_ARGS"},
		}
		if option.name != "force-new-cluster" && option.name != "data-dir-of-the-future" {
			places["a flag and a word"] = unitFile{arguments: flags + "--" + option.name + " " + option.value}
		}
		for place, u := range places {
			err := host(t, u).CheckUnit(t.Context())
			if err == nil || !strings.Contains(err.Error(), option.want) || !strings.Contains(err.Error(), "etcd.service") {
				t.Errorf("%s by %s: got the error %v, want one with the unit and %q", option.name, place, err, option.want)
			}
		}
	}
}

func TestUnitsThatAreNotUnderstoodAreRefused(t *testing.T) {
	shell := filepath.Join(t.TempDir(), "etcd")
	writeFile(t, shell, "#!/bin/sh\nexec etcd\n")
	for want, u := range map[string]unitFile{
		"/bin/sh, which is not the program":       {program: "/bin/sh", environment: usual, arguments: "-c etcd"},
		shell + ", which is not the program":      {program: shell, environment: usual},
		"has 2 commands":                          {environment: usual, more: "ExecStart={ path=/usr/bin/etcd ; argv[]=/usr/bin/etcd ; ignore_errors=no }"},
		"RootDirectory=/srv/root":                 {environment: usual, more: "RootDirectory=/srv/root"},
		"BindPaths=/a:/var/lib/etcd":              {environment: usual, more: "BindPaths=/a:/var/lib/etcd"},
		"DynamicUser=yes":                         {environment: usual, more: "DynamicUser=yes"},
		"TemporaryFileSystem=/var/lib":            {environment: usual, more: "TemporaryFileSystem=/var/lib"},
		"ExecStartPre={ path=/bin/mv":             {environment: usual, more: "ExecStartPre={ path=/bin/mv ; argv[]=/bin/mv a b ; ignore_errors=no }"},
		"PassEnvironment=ETCD_WAL_DIR":            {environment: usual, more: "PassEnvironment=ETCD_WAL_DIR"},
		"is a pattern":                            {environment: usual, more: "EnvironmentFiles=/etc/etcd.d/*.env (ignore_errors=no)"},
		"no such file":                            {environment: usual, more: "EnvironmentFiles=/nowhere/etcd (ignore_errors=no)"},
		"which a recovery does not read":          {environment: usual, file: "ETCD_WAL_DIR=/srv/\\\nwal\n"},
		"environment:1: the value of A has":       {environment: usual, file: "A=\"a\"b\"\n"},
		`"gateway" on etcd's command line`:        {environment: usual, arguments: "gateway start"},
		"--initial-cluster is on etcd's":          {environment: usual, arguments: "--initial-cluster=a=http://a:1"},
		"--initial-cluster-state is on etcd's":    {environment: usual, arguments: "--initial-cluster-state new"},
		"--discovery-srv is on etcd's":            {environment: usual, arguments: "--discovery-srv example.org"},
		"--wal-dir on etcd's command line has no": {environment: usual, arguments: "--wal-dir"},
		"cannot be expanded":                      {environment: usual, arguments: "--wal-dir=${WAL"},
		"quotes, escapes or a variable":           {environment: usual, arguments: "--wal-dir=$WAL"},
	} {
		if err := host(t, u).CheckUnit(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got the error %v, want one with %q", err, want)
		}
	}
	m := host(t, unitFile{environment: usual})
	m.WALDir = "/srv/wal"
	if err := m.CheckUnit(t.Context()); err == nil || !strings.Contains(err.Error(), "has the log in the data folder, but --wal-dir is /srv/wal") {
		t.Errorf("--wal-dir for a log in the data folder: got the error %v, want that they differ", err)
	}
}

func TestAUnitThatIsNotLoadedOrNotDescribedIsAnError(t *testing.T) {
	m := host(t, unitFile{})
	dir, _, _ := strings.Cut(os.Getenv("PATH"), ":")
	writeFile(t, filepath.Join(dir, "show"), "LoadState=not-found\n")
	if err := m.CheckUnit(t.Context()); err == nil || !strings.Contains(err.Error(), "is not loaded: not-found (hint: give the unit of etcd with --etcd-service)") {
		t.Errorf("a unit that does not exist: got the error %v, want that it is not loaded", err)
	}
	writeFile(t, filepath.Join(dir, "systemctl"), "#!/bin/sh\necho 'no bus' >&2; exit 1\n")
	if err := m.CheckUnit(t.Context()); !errors.Is(err, ErrNoManager) || !strings.Contains(err.Error(), "no bus") {
		t.Errorf("a machine without systemd: got the error %v, want %v with its message", err, ErrNoManager)
	}
}

// TestEveryOptionOfTheInstalledEtcdIsKnown fails when a new etcd has an option that
// nobody has judged.
func TestEveryOptionOfTheInstalledEtcdIsKnown(t *testing.T) {
	path, err := exec.LookPath("etcd")
	if err != nil {
		t.Skip("etcd is not installed")
	}
	help, _ := exec.Command(path, "--help").CombinedOutput()
	flags := regexp.MustCompile(`(?m)^  --([a-z0-9-]+) ('?)`).FindAllStringSubmatch(string(help), -1)
	if len(flags) < 50 {
		t.Fatalf("got %d flags in the output of etcd --help, want at least 50", len(flags))
	}
	for _, flag := range flags {
		if _, known := lookUp(flag[1]); !known {
			t.Errorf("--%s of etcd is not in the table", flag[1])
		}
	}
	for _, flag := range regexp.MustCompile(`(?m)^  --([a-z0-9-]+) '(true|false)'`).FindAllStringSubmatch(string(help), -1) {
		if o, _ := lookUp(flag[1]); !o.boolean {
			t.Errorf("--%s of etcd is boolean, but not in the table", flag[1])
		}
	}
}

func TestADataFolderWithoutItsLogSaysWhereToLook(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "member", "snap"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Identify(dir, ""); err == nil || !strings.Contains(err.Error(), "give that folder with --wal-dir") {
		t.Errorf("got the error %v, want a hint to --wal-dir", err)
	}
}
