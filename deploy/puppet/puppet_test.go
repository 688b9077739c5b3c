// Package puppet tests the Puppet modules beside it with the real puppet and the real
// program.
package puppet

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// seed is what stands in a site's hiera for the nginx site, word for word.
const seed = `
profile::etcd::tlsproxy::cert_name: "etcd.%{::domain}"
profile::etcd::tlsproxy::acls: { /: ["root"], /conftool: ["root", "conftool"], /eventlogging: []}
`

// private is what the private hieradata holds.
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
		t.Fatalf("the first run ended with %d:\n%s", code, s.told())
	}
	if info, err := os.Stat(s.path("etc/htpasswd")); err != nil || info.Mode() != 0o640 {
		t.Errorf("the users' file: %v, %v", info.Mode(), err)
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
		t.Errorf("the second run ended with %d:\n%s", code, s.told())
	}

	// The types allow this table, and only the program knows what is wrong with it: who may
	// write but not read would be told the old value.
	before := s.files()
	s.write("hiera/seed.yaml", strings.Replace(seed, `["root", "conftool"]`, `{ write: ["root", "conftool"], read: ["root"] }`, 1))
	if code := s.apply(); code&failed == 0 || !strings.Contains(s.told(), `user "conftool" may write but not read`) {
		t.Errorf("a table that cannot be served: the run ended with %d:\n%s", code, s.told())
	}
	if after := s.files(); after != before {
		t.Errorf("the files were\n%s\nand are\n%s", before, after)
	}
	s.put("/conftool/x", "conftool", "conftool-secret", http.StatusOK)

	// A run that changes a password ends when the service knows it.
	s.write("hiera/seed.yaml", seed)
	s.write("hiera/private.yaml", strings.Replace(private, "CONFTOOL", "renewed-secret", 1))
	if code := s.apply(); code != changed {
		t.Errorf("the run with another password ended with %d:\n%s", code, s.told())
	}
	s.put("/conftool/x", "conftool", "conftool-secret", http.StatusUnauthorized)
	s.put("/conftool/x", "conftool", "renewed-secret", http.StatusOK)

	// Neither passwords nor hashes are in what puppet printed, reported or kept.
	told := s.all.Bytes()
	err = filepath.WalkDir(s.path("var"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		told = append(told, data...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(told, []byte("resource_statuses")) {
		t.Error("there is no report to look into")
	}
	for _, secret := range []string{"-secret", pool, "$apr1$"} {
		if at := bytes.Index(told, []byte(secret)); at >= 0 {
			t.Errorf("%q was told: %s", secret, told[max(0, at-200):min(len(told), at+100)])
		}
	}
}

// put writes a key and compares the status.
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
		s.t.Fatalf("%v\n%s", err, s.log)
	}
	resp.Body.Close()
	if resp.StatusCode != want {
		s.t.Errorf("PUT %s as %q: %s, not %d", key, user, resp.Status, want)
	}
}
