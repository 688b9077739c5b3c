package gate

import (
	"crypto/x509"
	"errors"
	"strings"

	"etcd-tlsproxy/certs"
)

// Login is the result of an attempt to identify a client.
type Login int

// The results. LoginUnneeded means that the decision did not depend on the client.
const (
	LoginUnneeded Login = iota
	LoginVerified
	LoginRemembered
	LoginCertified
	LoginMissing
	LoginScheme
	LoginMalformed
	LoginUnknownUser
	LoginWrongPassword
	LoginThrottled
	LoginBusy
	LoginUntrusted
	LoginExpired
	LoginUnnamed
	LoginRevoked
	LoginWaiting
)

// logins describes each result: the means of identification, the outcome, and the reason
// if the client could not be identified.
var logins = [...]struct {
	means          Known
	result, reason string
}{
	LoginUnneeded:      {Anonymous, "not_needed", ""},
	LoginVerified:      {ByPassword, "ok", ""},
	LoginRemembered:    {ByPassword, "remembered", ""},
	LoginCertified:     {ByCertificate, "ok", ""},
	LoginMissing:       {Anonymous, "none", "no_credentials"},
	LoginScheme:        {ByPassword, "failed", "other_scheme"},
	LoginMalformed:     {ByPassword, "failed", "malformed_credentials"},
	LoginUnknownUser:   {ByPassword, "failed", "unknown_user"},
	LoginWrongPassword: {ByPassword, "failed", "wrong_password"},
	LoginThrottled:     {ByPassword, "throttled", "throttled"},
	LoginBusy:          {ByPassword, "busy", "busy"},
	LoginUntrusted:     {ByCertificate, "failed", "untrusted_certificate"},
	LoginExpired:       {ByCertificate, "failed", "expired_certificate"},
	LoginUnnamed:       {ByCertificate, "failed", "certificate_name"},
	LoginRevoked:       {ByCertificate, "failed", "revoked_certificate"},
	LoginWaiting:       {ByPassword, "failed", "password_not_in_force"},
}

// NumLogins is the number of results, which are numbered from 0.
const NumLogins = len(logins)

// Means returns the means of the attempt.
func (l Login) Means() Known { return logins[l].means }

// Result returns the outcome of the attempt, as the metrics name it.
func (l Login) Result() string { return logins[l].result }

// Reason returns why the client could not be identified, or "".
func (l Login) Reason() string { return logins[l].reason }

// String returns the result as logs and the status name it: "ok", "not_needed", or the
// reason.
func (l Login) String() string {
	switch {
	case l.Reason() != "":
		return l.Reason()
	case l == LoginUnneeded:
		return l.Result()
	}
	return "ok"
}

// loginOf returns the result of an attempt with a certificate that failed.
func loginOf(err error) Login {
	if errors.Is(err, errNoCertificate) {
		return LoginMissing
	}
	if _, ok := errors.AsType[certs.NameError](err); ok {
		return LoginUnnamed
	}
	if errors.Is(err, certs.ErrRevoked) {
		return LoginRevoked
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return LoginExpired
	}
	return LoginUntrusted
}

// claimed returns the name that a client claimed without success, if the policy knows it.
// Any other name is dropped: people type passwords into the wrong field.
func (p *Policy) claimed(name string) string {
	known := p.Users.Has(name) || p.waits(name) || p.Rules.HasUser(name)
	for _, group := range p.Surfaces {
		known = known || !group.IsEveryone() && group.Has(name)
	}
	if !known {
		return ""
	}
	return strings.Clone(name)
}
