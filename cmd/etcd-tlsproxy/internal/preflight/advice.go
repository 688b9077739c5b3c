package preflight

import (
	"fmt"
	"os"
	"time"

	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
)

// expiresSoon is the time before the end of a certificate in which an operator should have
// renewed it.
const expiresSoon = 7 * 24 * time.Hour

// State is a configuration with what its files contain.
type State struct {
	Config       *config.Config
	Document     *config.Document
	Secrets      []Secret
	Certificates []certs.Expiry
}

// Secret is a file of a private key or a password.
type Secret struct {
	Path string
	// Key is the key of the configuration that names it.
	Key []string
}

// Advise returns what is not wrong, but is hardly meant, so that an operator sees it before
// it does harm.
func (s *State) Advise(now time.Time) []string {
	var all []string
	add := func(text string, key ...string) { all = append(all, s.Document.Warning(text, key...)) }
	for _, secret := range s.Secrets {
		if info, err := os.Stat(secret.Path); err == nil && info.Mode().Perm()&0o004 != 0 {
			add(secret.Path+" can be read by every user of this machine (hint: chmod 640, with the group of the service)", secret.Key...)
		}
	}
	for _, c := range s.Certificates {
		if left := c.NotAfter.Sub(now); left > 0 && left < expiresSoon {
			all = append(all, fmt.Sprintf("%s: the certificate expires at %s, in less than a week (hint: renew it)", c.Role, c.NotAfter.Format(time.RFC3339)))
		}
	}
	if text := AdviseFiles(s.Config, s.Document, OpenFiles()); text != "" {
		all = append(all, text)
	}
	return all
}

// AsWarnings turns errors into warnings about a later start.
func AsWarnings(err error) []string {
	if err == nil {
		return nil
	}
	var all []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			all = append(all, AsWarnings(one)...)
		}
		return all
	}
	if e, ok := err.(*config.Error); ok { //nolint:errorlint // likewise
		return []string{fmt.Sprintf("line %d: %s: a start would fail, but not a reload: %s (hint: %s)", e.Line, e.Key, e.Problem, e.Hint)}
	}
	return []string{err.Error()}
}
