package certs

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net"
	"strings"
	"unicode"
	"unicode/utf8"
)

// NameRule selects the part of a client's certificate that is the client's name. The
// other parts are never used.
type NameRule int

// The rules, with their names in the configuration.
const (
	CN    NameRule = iota // cn: the common name of the subject
	DNS                   // dns: the DNS name in the subject alternative names, in lower case
	URI                   // uri: the URI in the subject alternative names, unchanged
	Email                 // email: the email address in the subject alternative names, unchanged
)

var nameRules = [...]string{"cn", "dns", "uri", "email"}

// String returns the rule's name in the configuration.
func (r NameRule) String() string { return nameRules[r] }

// ParseNameRule returns the rule with the given name.
func ParseNameRule(s string) (NameRule, error) {
	for i, name := range nameRules {
		if s == name {
			return NameRule(i), nil
		}
	}
	return 0, fmt.Errorf("not a valid rule: it must be one of %s", strings.Join(nameRules[:], ", "))
}

// NameError reports that a certificate does not name its client unambiguously.
type NameError string

func (e NameError) Error() string { return string(e) }

const (
	errNoName    = NameError("the certificate has no name of the configured kind")
	errManyNames = NameError("the certificate has more than one name of the configured kind")
	errBadName   = NameError("the certificate's name is not a usable user name")
)

// nameOf extracts the client's name from a certificate.
func nameOf(rule NameRule, c *x509.Certificate) (string, error) {
	names, err := namesOf(rule, c)
	if err != nil {
		return "", err
	}
	switch len(names) {
	case 0:
		return "", errNoName
	case 1:
	default:
		return "", errManyNames
	}
	name := names[0]
	if rule == DNS {
		// A wildcard stands for many hosts, and an IP address is not a DNS name.
		if strings.Contains(name, "*") || net.ParseIP(name) != nil {
			return "", errBadName
		}
		name = strings.ToLower(name)
	}
	if !isUserName(name) {
		return "", errBadName
	}
	return name, nil
}

// namesOf returns all names of the kind that the rule selects.
func namesOf(rule NameRule, c *x509.Certificate) ([]string, error) {
	switch rule {
	case DNS:
		return c.DNSNames, nil
	case Email:
		return c.EmailAddresses, nil
	case URI:
		// crypto/x509 normalizes URIs, but user names are compared byte by byte.
		return rawURIs(c)
	}
	var names []string
	// Subject.CommonName holds only the last of several common names.
	for _, attribute := range c.Subject.Names {
		if !attribute.Type.Equal(oidCommonName) {
			continue
		}
		text, ok := attribute.Value.(string)
		if !ok {
			return nil, errBadName // crypto/x509 does not decode this encoding to text
		}
		names = append(names, text)
	}
	return names, nil
}

var (
	oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidAltName    = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// tagURI is the context-specific tag of a uniformResourceIdentifier in a GeneralName.
const tagURI = 6

// rawURIs returns the URIs of the subject alternative names, byte for byte.
func rawURIs(c *x509.Certificate) ([]string, error) {
	var uris []string
	for _, extension := range c.Extensions {
		if !extension.Id.Equal(oidAltName) {
			continue
		}
		var names asn1.RawValue
		if rest, err := asn1.Unmarshal(extension.Value, &names); err != nil || len(rest) > 0 {
			return nil, errBadName
		}
		for rest := names.Bytes; len(rest) > 0; {
			var name asn1.RawValue
			var err error
			if rest, err = asn1.Unmarshal(rest, &name); err != nil {
				return nil, errBadName
			}
			if name.Class == asn1.ClassContextSpecific && name.Tag == tagURI {
				uris = append(uris, string(name.Bytes))
			}
		}
	}
	return uris, nil
}

// isUserName reports whether a text is a valid user name. The limits are those of names
// in htpasswd files, except that a colon is allowed: URIs contain one.
func isUserName(name string) bool {
	if name == "" || len(name) > 256 || !utf8.ValidString(name) {
		return false
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
