package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"etcd-tlsproxy/proxy/proxytest"
)

// All proxies have this user. Its hash is apr1; the user bcrypt has the same password.
const (
	benchUser     = "conftool"
	benchPassword = "conftool-bench"
	treeKeys      = 500
	trees         = 20 // others, in scenarios that need more than one
)

// keyValue is the value of all keys.
var keyValue = strings.Repeat("x", 60)

// env is the environment of a run: files, upstreams and this program for its children.
type env struct {
	dir      string
	ca       []byte
	self     string // the path of this program
	null     *process
	nullAddr string
	etcd     *proxytest.Process // nil if etcd runs in this process
	etcdAddr string
	store    *store // nil until a scenario needs it
	trees    bool   // the other trees are written
	keep     bool   // dir is not removed
	profiles string // the folder for CPU profiles; "" for none
	closers  []func()
}

// newEnv writes the files and starts the upstreams.
func newEnv() (e *env, err error) {
	e = &env{}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	if e.dir, err = os.MkdirTemp("", "etcd-tlsproxy-bench-"); err != nil {
		return e, err
	}
	e.closers = append(e.closers, func() {
		if !e.keep {
			_ = os.RemoveAll(e.dir)
		}
	})
	if e.self, err = os.Executable(); err != nil {
		return e, err
	}
	if err := e.writeKeys(); err != nil {
		return e, err
	}
	if e.null, e.nullAddr, err = startWithAddress(e.self, "null-upstream"); err != nil {
		return e, err
	}
	e.closers = append(e.closers, e.null.stop)
	return e, e.startEtcd()
}

func (e *env) path(name string) string { return filepath.Join(e.dir, name) }

func (e *env) close() {
	for i := len(e.closers) - 1; i >= 0; i-- {
		e.closers[i]()
	}
}

// writeKeys writes the certificate, its key and the users of all proxies.
func (e *env) writeKeys() error {
	pki, err := proxytest.NewPKI()
	if err != nil {
		return err
	}
	e.ca = pki.CA()
	cert, key, err := pki.Server("localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	users, err := proxytest.Htpasswd(map[string]string{benchUser: benchPassword, "root": "root-bench"})
	if err != nil {
		return err
	}
	slow, err := bcrypt.GenerateFromPassword([]byte(benchPassword), 10)
	if err != nil {
		return err
	}
	users = fmt.Appendf(users, "bcrypt:%s\n", slow)
	return errors.Join(
		os.WriteFile(e.path("server.crt"), cert, 0o600),
		os.WriteFile(e.path("server.key"), key, 0o600),
		os.WriteFile(e.path("server.pem"), append(cert, key...), 0o600), // HAProxy reads both from one file
		os.WriteFile(e.path("htpasswd"), users, 0o644),
	)
}

// startEtcd starts etcd and fills it. The installed etcd is preferred: as a process of
// its own its CPU time and memory can be measured.
func (e *env) startEtcd() error {
	if path, _, ok := proxytest.FindEtcd(); ok {
		etcd, err := proxytest.StartProcess(path, proxytest.Options{Dir: e.path("etcd")})
		if err != nil {
			return err
		}
		e.etcd, e.etcdAddr = etcd, strings.TrimPrefix(etcd.URL(), "http://")
		e.closers = append(e.closers, etcd.Close)
	} else {
		etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: e.path("etcd")})
		if err != nil {
			return err
		}
		e.etcdAddr = strings.TrimPrefix(etcd.URL(), "http://")
		e.closers = append(e.closers, etcd.Close)
	}
	for i := range treeKeys {
		if err := putDirect(e.etcdAddr, treeKey(i), keyValue); err != nil {
			return fmt.Errorf("filling etcd: %w", err)
		}
	}
	return nil
}

// putDirect sets a key without going through a proxy.
func putDirect(etcd, key, value string) error {
	form := url.Values{"value": {value}}.Encode()
	req, err := http.NewRequest(http.MethodPut, "http://"+etcd+"/v2/keys"+key, strings.NewReader(form))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func treeKey(i int) string { return fmt.Sprintf("/conftool/v1/pools/eqiad/mw%04d", i) }

func otherTreeKey(i int) string {
	return fmt.Sprintf("/conftool/v1/trees/%d/mw%04d", i%trees, i/trees)
}

// client returns an HTTP client that trusts the proxies.
func (e *env) client() (*http.Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(e.ca) {
		return nil, errors.New("reading the CA: no certificate found")
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: grace}, nil
}
