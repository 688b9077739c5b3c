package upstream

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"
)

// CheckDomain refuses what is no domain to ask for endpoints at.
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
			return errors.New("it is no domain")
		}
	}
	return nil
}

// mostName is the longest name that DNS knows, written without the last dot.
const maxDomain = 253

var isLabel = regexp.MustCompile(`^[a-zA-Z0-9]([-_a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$`)
