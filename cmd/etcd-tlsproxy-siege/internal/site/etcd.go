package site

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/direct"
	"etcd-tlsproxy/proxy/v2v3"
)

// Etcd is an etcd of one member as a process.
type Etcd struct {
	*Process
	URL     string
	command []string
	dir     string
	client  *http.Client
	// tree is that of its v3 store; nil if the keys are in the v2 API.
	tree *direct.Writer
}

// EtcdOptions describes an etcd.
type EtcdOptions struct {
	// Program is the path of the etcd; if it is empty, Self is a program whose command "etcd" runs the
	// etcd that is linked into it.
	Program, Self string
	// V3 keeps the keys in the v3 store.
	V3 bool
	// Secure makes it serve TLS, and make snapshots after few writes.
	Secure bool
	// Quota is the size at which it refuses writes to its v3 store; 0 means its default.
	Quota int64
}

const (
	// snapshotCount is after how many writes etcd makes a snapshot, which it reads at its next start.
	snapshotCount = 50
	// maxRequest is the size of the largest write to a v3 store. By default etcd refuses what the attackers
	// write to others.
	maxRequest = 12 << 20
)

// StartEtcd starts an etcd in a folder.
func (f *Files) StartEtcd(dir string, o EtcdOptions) (*Etcd, error) {
	client, err := proxytest.FreeAddress()
	if err != nil {
		return nil, err
	}
	e := &Etcd{dir: dir, URL: "http://" + client}
	config := &tls.Config{RootCAs: f.Pool()}
	e.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: config}}
	peer, err := proxytest.FreeAddress()
	if err != nil {
		return nil, err
	}
	peerURL := "http://" + peer
	at := v2v3.Endpoint{Addr: client}
	if o.Secure {
		e.URL, at.TLS = "https://"+client, config
	}
	e.command = []string{o.Program}
	if o.Program == "" {
		e.command = []string{o.Self, "etcd"}
	}
	e.command = append(e.command, "--name=default", "--data-dir="+filepath.Join(dir, "data"),
		"--listen-client-urls="+e.URL, "--advertise-client-urls="+e.URL,
		"--listen-peer-urls="+peerURL, "--initial-advertise-peer-urls="+peerURL, "--initial-cluster=default="+peerURL)
	if o.V3 {
		e.command = append(e.command, fmt.Sprintf("--max-request-bytes=%d", maxRequest))
	} else {
		e.command = append(e.command, "--enable-v2=true")
	}
	if o.Quota > 0 {
		e.command = append(e.command, fmt.Sprintf("--quota-backend-bytes=%d", o.Quota))
	}
	if o.Secure {
		e.command = append(e.command, "--cert-file="+f.Path("server.crt"), "--key-file="+f.Path("server.key"),
			fmt.Sprintf("--snapshot-count=%d", snapshotCount))
	}
	if err := e.Start(); err != nil || !o.V3 {
		return e, err
	}
	if err = direct.Init(at, "", 0); err == nil {
		e.tree, err = direct.Open(at, "")
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// Close kills etcd, for good.
func (e *Etcd) Close() {
	if e.tree != nil {
		e.tree.Close()
	}
	e.Kill()
}

// Start starts etcd, for the first time or again with the same data.
func (e *Etcd) Start() (err error) {
	if e.Process, err = start(e.dir, "etcd", e.command...); err != nil {
		return err
	}
	return e.waitFor(func() error {
		var version struct{ Etcdcluster string }
		if err := e.get("/version", &version); err != nil {
			return err
		}
		// Until then its index is not settled, and it may not have a leader.
		if version.Etcdcluster == "not_decided" {
			return errors.New("the version of the cluster is not decided")
		}
		return nil
	})
}

func (e *Etcd) get(path string, answer any) error {
	resp, err := e.client.Get(e.URL + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(answer)
}

// Put sets a key without going through a proxy.
func (e *Etcd) Put(key, value string) error {
	if e.tree != nil {
		return e.tree.Put(key, value)
	}
	req, err := http.NewRequest(http.MethodPut, e.URL+"/v2/keys"+key, strings.NewReader(url.Values{"value": {value}}.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := e.client.Do(req)
	if err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("writing %s: %s", key, resp.Status)
	}
	return nil
}

// Fill writes the keys that every siege has.
func (e *Etcd) Fill() error {
	value := strings.Repeat("x", 60)
	for i := range 100 { // so that there are a hundred old indexes to ask for
		if err := e.Put(fmt.Sprintf("/siege/tree/k%02d", i), value); err != nil {
			return err
		}
	}
	large := strings.Repeat("x", 100<<10)
	return errors.Join(e.Put("/siege/small", value), e.Put("/siege/large", large), e.Put("/conftool/private/large", large),
		e.Put("/siege/restricted", value), e.Put("/siege/fleet", value), e.Put("/eventlogging/k", value))
}
