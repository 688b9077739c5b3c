package proxytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// FindEtcd returns the path of an installed etcd that has the v2 API: version 3.4 or 3.5.
func FindEtcd() (path, version string, ok bool) {
	path, err := exec.LookPath("etcd")
	if err != nil {
		return "", "", false
	}
	if version, err = EtcdVersion(path); err != nil {
		return "", "", false
	}
	return path, version, strings.HasPrefix(version, "3.4.") || strings.HasPrefix(version, "3.5.")
}

// EtcdVersion returns the version of the etcd at path.
func EtcdVersion(path string) (string, error) {
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("asking %s for its version: %w", path, err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	_, version, found := strings.Cut(first, "etcd Version: ")
	if !found {
		return "", fmt.Errorf("asking %s for its version: got %.100q, want the version of an etcd", path, first)
	}
	return version, nil
}

// Process is a running process of an installed etcd.
type Process struct {
	*Child // nil before the first start

	path, dir, name string
	client, peer    string // addresses; they stay the same across a restart
	advertise       string
	cluster         string // all members, as name=http://peer
	state           string // "new", or "existing" for one that joins
	hasty, noV2     bool
	quota           int64
	snapshots       uint64
}

// StartProcess starts the etcd at path as a single member and waits until it serves.
func StartProcess(path string, o Options) (*Process, error) {
	p, err := newProcess(path, "default", o)
	if err != nil {
		return nil, err
	}
	p.cluster = p.initial()
	return p, p.Start()
}

// StartCluster starts the etcd at path once for each of the options, as members of
// one cluster, and waits until all of them serve.
func StartCluster(path string, options ...Options) ([]*Process, error) {
	var members []*Process
	var initial []string
	for i, o := range options {
		p, err := newProcess(path, "member"+strconv.Itoa(i), o)
		if err != nil {
			return nil, err
		}
		members, initial = append(members, p), append(initial, p.initial())
	}
	for _, p := range members {
		p.cluster = strings.Join(initial, ",")
		if err := p.launch(); err != nil {
			return members, err
		}
	}
	for _, p := range members {
		if err := p.waitHealthy(); err != nil {
			return members, err
		}
	}
	return members, nil
}

func newProcess(path, name string, o Options) (*Process, error) {
	client, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	peer, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	p := &Process{path: path, dir: o.Dir, name: name, client: client, peer: peer, advertise: o.Advertise, state: "new", hasty: o.Hasty, noV2: o.NoV2, quota: o.Quota, snapshots: o.SnapshotCount}
	if p.advertise == "" {
		p.advertise = p.URL()
	}
	return p, nil
}

func (p *Process) initial() string { return p.name + "=" + p.PeerURL() }

// The range of the ports for servers. The kernel chooses ports for outgoing connections above
// it. One of those could otherwise take the port of a server that is stopped, or keep a server
// from listening on all addresses.
const (
	firstPort = 10_000
	lastPort  = 32_000
)

// Tests run at the same time, and none should get a port whose server is about to start. So the
// ports that a process has tried are counted, from a place of its own on.
var (
	firstTried = rand.Uint32N(lastPort - firstPort)
	tried      atomic.Uint32
)

// FreeAddress returns an address of loopback on which nothing listens.
func FreeAddress() (string, error) {
	var err error
	for range 100 {
		var ln net.Listener
		if ln, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+(firstTried+tried.Add(1))%(lastPort-firstPort))); err == nil {
			return ln.Addr().String(), ln.Close()
		}
	}
	return "", fmt.Errorf("finding a free port: %w", err)
}

// Start starts the process, either for the first time or again with the same data and ports.
func (p *Process) Start() error {
	if err := p.launch(); err != nil {
		return err
	}
	return p.waitHealthy()
}

func (p *Process) launch() (err error) {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	args := []string{"--name=" + p.name, "--data-dir=" + filepath.Join(p.dir, "data"),
		"--listen-client-urls=" + p.URL(), "--advertise-client-urls=" + p.advertise,
		"--listen-peer-urls=http://" + p.peer, "--initial-advertise-peer-urls=http://" + p.peer, "--initial-cluster=" + p.cluster, "--initial-cluster-state=" + p.state}
	if !p.noV2 {
		args = append(args, "--enable-v2=true")
	}
	if p.quota > 0 {
		args = append(args, fmt.Sprint("--quota-backend-bytes=", p.quota))
	}
	if p.snapshots > 0 {
		args = append(args, fmt.Sprint("--snapshot-count=", p.snapshots))
	}
	if p.hasty {
		args = append(args, "--strict-reconfig-check=false")
	}
	p.Child, err = StartChild(filepath.Join(p.dir, "log"), p.path, args...)
	return err
}

func (p *Process) waitHealthy() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		if healthy(ctx, p.URL()) && settled(ctx, http.DefaultClient, p.URL()) {
			return nil
		}
		select {
		case <-ctx.Done():
			p.Kill()
			return errors.New("starting etcd: it is not healthy after 30 s; see the log in " + p.dir)
		case <-p.Exited():
			return errors.New("starting etcd: it has exited; see the log in " + p.dir)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func healthy(ctx context.Context, url string) bool {
	var status struct{ Health string }
	return getJSON(ctx, http.DefaultClient, url+"/health", &status) && status.Health == "true"
}

// settled reports whether the members have agreed on a version. They do so some time after
// they have begun to serve, and it changes etcd's index.
func settled(ctx context.Context, client *http.Client, url string) bool {
	var version struct{ Etcdcluster string }
	return getJSON(ctx, client, url+"/version", &version) && version.Etcdcluster != "not_decided"
}

func getJSON(ctx context.Context, client *http.Client, url string, answer any) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(answer) == nil
}

// URL returns the URL for clients.
func (p *Process) URL() string { return "http://" + p.client }

// Name returns the name in the cluster.
func (p *Process) Name() string { return p.name }

// PeerURL returns the URL for the other members.
func (p *Process) PeerURL() string { return "http://" + p.peer }

func (p *Process) joins(cluster, state string) { p.cluster, p.state = cluster, state }

// Kill kills the process, like a crash, and waits until it has exited.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.Exited()
}

// Close kills the process if it was started.
func (p *Process) Close() {
	if p.Child != nil {
		p.Kill()
	}
}
