// Package site is what a siege attacks: an etcd and a server in front of it, as processes whose
// memory is measured, and the files that they read.
package site

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/crypto/bcrypt"

	"etcd-tlsproxy/proxy/proxytest"
)

// The users of a siege, with their passwords. The hash of root is cheap, because root is the
// writer among the victims; that of conftool and of those who log in is bcrypt.
const (
	Root, RootPassword   = "root", "root-siege"
	Known, KnownPassword = "conftool", "conftool-siege"
	LoginPassword        = "login-siege"
)

// Logins is how many users exist who log in only once each: a password that was verified
// before costs no hash.
const Logins = 1000

// Login returns the name of the user who logs in as number i.
func Login(i int) string { return "login" + strconv.Itoa(i%Logins) }

// bcryptCost makes a hash take 15 to 30 ms.
const bcryptCost = 8

// Files is the folder of files that the servers read.
type Files struct {
	*proxytest.PKI // of the servers and of clients
	Dir            string
	users          []byte
}

// NewFiles writes the certificates and the users into a folder.
func NewFiles(dir string) (*Files, error) {
	pki, err := proxytest.NewPKI()
	if err != nil {
		return nil, err
	}
	f := &Files{PKI: pki, Dir: dir}
	cert, key, err := f.Server("localhost", "127.0.0.1", "::1")
	if err != nil {
		return nil, err
	}
	if f.users, err = proxytest.Htpasswd(map[string]string{Root: RootPassword}); err != nil {
		return nil, err
	}
	known, err := bcrypt.GenerateFromPassword([]byte(KnownPassword), bcryptCost)
	if err != nil {
		return nil, err
	}
	login, err := bcrypt.GenerateFromPassword([]byte(LoginPassword), bcryptCost)
	if err != nil {
		return nil, err
	}
	f.users = fmt.Appendf(f.users, "%s:%s\n", Known, known)
	for i := range Logins {
		f.users = fmt.Appendf(f.users, "%s:%s\n", Login(i), login)
	}
	return f, errors.Join(
		os.WriteFile(f.Path("ca.crt"), f.CA(), 0o600),
		os.WriteFile(f.Path("server.crt"), cert, 0o600),
		os.WriteFile(f.Path("server.key"), key, 0o600),
		os.WriteFile(f.Path("server.pem"), append(cert, key...), 0o600), // HAProxy reads both from one file
		f.WriteUsers(0),
	)
}

// Path returns the path of a file in the folder.
func (f *Files) Path(name string) string { return filepath.Join(f.Dir, name) }

// WriteUsers writes the htpasswd file with one more user, whose name has the number n. It
// replaces the file by a rename, as Puppet does.
func (f *Files) WriteUsers(n int) error {
	data := fmt.Appendf(nil, "%sspare%d:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", f.users, n)
	if err := os.WriteFile(f.Path("htpasswd.next"), data, 0o644); err != nil {
		return err
	}
	return os.Rename(f.Path("htpasswd.next"), f.Path("htpasswd"))
}
