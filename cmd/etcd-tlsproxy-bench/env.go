package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"etcd-tlsproxy/proxy/proxytest"
)

// The one user of all proxies, and its key.
const (
	benchUser     = "conftool"
	benchPassword = "conftool-bench"
	treeKeys      = 500
)

// env is everything that measurements need and that stays the same.
type env struct {
	dir      string
	ca       []byte
	self     string // this program, for its children
	proxy    string
	null     *process
	nullAddr string
	etcd     *proxytest.Process
	etcdAddr string
	keep     bool // the folder stays
	closers  []func()
}

// newEnv makes the files and starts the upstreams.
func newEnv(proxy string) (s *env, err error) {
	s = &env{proxy: proxy}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "etcd-tlsproxy-bench-"); err != nil {
		return s, err
	}
	s.closers = append(s.closers, func() {
		if !s.keep {
			_ = os.RemoveAll(s.dir)
		}
	})
	if s.self, err = os.Executable(); err != nil {
		return s, err
	}
	if s.proxy == "" {
		s.proxy = s.path("etcd-tlsproxy")
		if out, err := exec.Command("go", "build", "-o", s.proxy, "etcd-tlsproxy/cmd/etcd-tlsproxy").CombinedOutput(); err != nil {
			return s, fmt.Errorf("building the proxy: %w\n%s", err, out)
		}
	}
	if err := s.writeKeys(); err != nil {
		return s, err
	}
	if s.null, s.nullAddr, err = startWithAddress(s.self, "null-upstream"); err != nil {
		return s, err
	}
	s.closers = append(s.closers, s.null.stop)
	return s, s.startEtcd()
}

func (e *env) path(name string) string { return filepath.Join(e.dir, name) }

func (e *env) close() {
	for i := len(e.closers) - 1; i >= 0; i-- {
		e.closers[i]()
	}
}

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
	return errors.Join(os.WriteFile(e.path("server.crt"), cert, 0o600), os.WriteFile(e.path("server.key"), key, 0o600),
		// HAProxy selected both in one.
		os.WriteFile(e.path("server.pem"), append(cert, key...), 0o600), os.WriteFile(e.path("htpasswd"), users, 0o644))
}

// startEtcd starts the installed etcd, whose CPU time is its own, or the embedded
// one, and fills it.
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
	value := url.Values{"value": {strings.Repeat("x", 60)}}.Encode()
	for i := range treeKeys {
		req, err := http.NewRequest(http.MethodPut, "http://"+e.etcdAddr+"/v2/keys"+treeKey(i), strings.NewReader(value))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return fmt.Errorf("filling etcd: %w", err)
		}
		_ = resp.Body.Close()
	}
	return nil
}

func treeKey(i int) string { return fmt.Sprintf("/conftool/v1/pools/eqiad/mw%04d", i) }
