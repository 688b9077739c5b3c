// Package puppet tests the Puppet modules of this folder with the real Puppet and the real
// program.
package puppet

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"etcd-tlsproxy/proxy/proxytest"
)

// seed is the hiera data of the nginx site, unchanged.
const seed = `
profile::etcd::tlsproxy::cert_name: "etcd.%{::domain}"
profile::etcd::tlsproxy::acls: { /: ["root"], /conftool: ["root", "conftool"], /eventlogging: []}
`

// private is the private hiera data.
const private = `
profile::etcd::tlsproxy::salt: NaClNaCl
profile::etcd::htpasswd: { root: root-secret, conftool: CONFTOOL }
etcd::autogen_pwd_seed: sown-secret
`

func TestTheSeedsHieraIsServedAsItIs(t *testing.T) {
	s := newSite(t)
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	s.write("hiera/seed.yaml", seed)
	s.write("hiera/private.yaml", strings.Replace(private, "CONFTOOL", "conftool-secret", 1))
	s.writeScratch(etcd.URL())

	if code := s.apply(); code != changed {
		t.Fatalf("the first run: got the exit status %d, want %d; output:\n%s", code, changed, s.lastOutput())
	}
	if info, err := os.Stat(s.path("etc/htpasswd")); err != nil {
		t.Error(err)
	} else if info.Mode() != 0o640 {
		t.Errorf("the mode of the file of users: got %v, want 0640", info.Mode())
	}
	s.serve()
	digest := sha256.Sum256([]byte("sown-secret|||eqiad-testserver"))
	pool := base64.StdEncoding.EncodeToString(digest[:])[:21]
	s.put("/conftool/x", "conftool", "conftool-secret", http.StatusCreated)
	s.put("/x", "conftool", "conftool-secret", http.StatusUnauthorized)
	s.put("/x", "root", "root-secret", http.StatusCreated)
	s.put("/conftool/x", "", "", http.StatusUnauthorized)
	s.put("/eventlogging/x", "", "", http.StatusCreated)
	s.put("/conftool/v1/pools/eqiad/testserver/x", "pool-eqiad-testserver", pool, http.StatusCreated)
	s.put("/conftool/v1/pools/eqiad/appserver/x", "pool-eqiad-testserver", pool, http.StatusUnauthorized)

	if code := s.apply(); code != unchanged {
		t.Errorf("the second run: got the exit status %d, want %d; output:\n%s", code, unchanged, s.lastOutput())
	}

	// The types of the module allow this table, but the program refuses it: a user who may
	// write but not read would learn old values from the responses to writes.
	before := s.files()
	s.write("hiera/seed.yaml", strings.Replace(seed, `["root", "conftool"]`, `{ write: ["root", "conftool"], read: ["root"] }`, 1))
	code, want := s.apply(), `user "conftool" may write but not read`
	if code&failed == 0 || !strings.Contains(s.lastOutput(), want) {
		t.Errorf("a run with a table that is not valid: got the exit status %d, want a failure with %q; output:\n%s", code, want, s.lastOutput())
	}
	if after := s.files(); after != before {
		t.Errorf("the files after a run that failed: got\n%s\nwant\n%s", after, before)
	}
	s.put("/conftool/x", "conftool", "conftool-secret", http.StatusOK)

	// When a run that changes a password has ended, the service knows the new password.
	s.write("hiera/seed.yaml", seed)
	s.write("hiera/private.yaml", strings.Replace(private, "CONFTOOL", "renewed-secret", 1))
	if code := s.apply(); code != changed {
		t.Errorf("the run with another password: got the exit status %d, want %d; output:\n%s", code, changed, s.lastOutput())
	}
	s.put("/conftool/x", "conftool", "conftool-secret", http.StatusUnauthorized)
	s.put("/conftool/x", "conftool", "renewed-secret", http.StatusOK)

	// A hash takes the place of a password.
	hash, err := bcrypt.GenerateFromPassword([]byte("hashed-secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	s.write("hiera/private.yaml", strings.Replace(private, ", conftool: CONFTOOL }", fmt.Sprintf(" }\nprofile::etcd::htpasswd_hashes: { conftool: %q }", hash), 1))
	if code := s.apply(); code != changed {
		t.Errorf("the run with a hash: got the exit status %d, want %d; output:\n%s", code, changed, s.lastOutput())
	}
	s.put("/conftool/x", "conftool", "renewed-secret", http.StatusUnauthorized)
	s.put("/conftool/x", "conftool", "hashed-secret", http.StatusOK)

	// Puppet printed, reported and stored neither passwords nor hashes.
	traces := s.all.Bytes()
	err = filepath.WalkDir(s.path("var"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		traces = append(traces, data...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(traces, []byte("resource_statuses")) {
		t.Error("the reports of Puppet: got none, want some to search")
	}
	for _, secret := range []string{"-secret", pool, "$apr1$", "$2a$"} {
		if at := bytes.Index(traces, []byte(secret)); at >= 0 {
			t.Errorf("Puppet's output, reports and files: got the secret %q, want no secret: %s", secret, traces[max(0, at-200):min(len(traces), at+100)])
		}
	}
}

// put writes a key and checks the status.
func (s *site) put(key, user, password string, want int) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPut, s.url+"/v2/keys"+key, strings.NewReader("value=1"))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.pki.Pool()}, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatalf("PUT %s: %v; log of the service:\n%s", key, err, s.log)
	}
	resp.Body.Close()
	if resp.StatusCode != want {
		s.t.Errorf("PUT %s as %q: got the status %s, want %d", key, user, resp.Status, want)
	}
}
