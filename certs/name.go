package certs

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"strings"
	"unicode"
	"unicode/utf8"
)

// NameRule says which part of a client's certificate is its name. The others
// are never consulted.
type NameRule int

// The rules, by their names in configuration.
const (
	CN    NameRule = iota // cn: the subject's common name
	DNS                   // dns: the DNS name among the alternative names, in lower case
	URI                   // uri: the URI among them, as it is spelled
	Email                 // email: the e-mail address among them, as it is spelled
)

var nameRules = [...]string{"cn", "dns", "uri", "email"}

// String is the rule's name in configuration.
func (r NameRule) String() string { return nameRules[r] }

// ParseNameRule reads a rule's name.
func ParseNameRule(s string) (NameRule, error) {
	for i, name := range nameRules {
		if s == name {
			return NameRule(i), nil
		}
	}
	return 0, fmt.Errorf("it is none of %s", strings.Join(nameRules[:], ", "))
}

var (
	errNoName    = errors.New("the certificate has no name of the configured kind")
	errManyNames = errors.New("the certificate has more than one name of the configured kind")
	errBadName   = errors.New("the certificate's name is not a usable user name")
)

// nameOf takes the one name out of a certificate.
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
		// A wildcard stands for many hosts, an address is another kind of name.
		if strings.Contains(name, "*") || net.ParseIP(name) != nil {
			return "", errBadName
		}
		name = strings.ToLower(name)
	}
	if !usable(name) {
		return "", errBadName
	}
	return name, nil
}

func namesOf(rule NameRule, c *x509.Certificate) ([]string, error) {
	switch rule {
	case DNS:
		return c.DNSNames, nil
	case Email:
		return c.EmailAddresses, nil
	case URI:
		// The parser's URIs are normalised; a user's name is compared byte for byte.
		return rawURIs(c)
	}
	var names []string
	// Subject.CommonName is only the last of several.
	for _, attribute := range c.Subject.Names {
		if !attribute.Type.Equal(oidCommonName) {
			continue
		}
		text, ok := attribute.Value.(string)
		if !ok {
			return nil, errBadName // an encoding the parser does not read as text
		}
		names = append(names, text)
	}
	return names, nil
}

var (
	oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidAltName    = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// tagURI is the context tag of a uniformResourceIdentifier in a GeneralName.
const tagURI = 6

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

// usable reports whether a text can be a user's name: the same bounds as for
// names in files, but that a colon is an ordinary letter of a URI.
func usable(name string) bool {
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
