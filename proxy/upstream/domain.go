package upstream

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"
)

// CheckDomain returns an error unless text is a domain whose SRV records can be looked up.
func CheckDomain(text string) error {
	switch {
	case strings.Contains(text, "://"):
		return errors.New("it should be a domain, without a scheme")
	case strings.HasPrefix(text, "_"):
		return errors.New("it should be the domain alone, without the names of services before it")
	case strings.HasSuffix(text, "."):
		return errors.New("it should not end in a dot; no search domain is added to it")
	case len(services[0].name)+len(text) > maxDomain:
		return errors.New("it is too long for a domain")
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return errors.New("it should be a domain, not an address")
	}
	for label := range strings.SplitSeq(text, ".") {
		if !isLabel.MatchString(label) {
			return errors.New("not a valid domain")
		}
	}
	return nil
}

// maxDomain is the length of the longest DNS name, without the trailing dot.
const maxDomain = 253

var isLabel = regexp.MustCompile(`^[a-zA-Z0-9]([-_a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$`)
