package upstream

import (
	"strings"
	"testing"
)

func TestWhatIsNoDomain(t *testing.T) {
	for _, text := range []string{"", "http://example.org", "example.org.", "example..org", ".", "a b", "example.org:53", "example.org/x", "192.0.2.1",
		"::1", "_etcd-client._tcp.example.org", "-a.org", "a-.org", strings.Repeat("a", 64), strings.Repeat("a.", 116), strings.Repeat("a.", 115) + "aa", "bücher.example"} {
		if err := CheckDomain(text); err == nil {
			t.Errorf("checking the domain %q: got no error, want one", text)
		}
	}
	for _, text := range []string{"example.org", "Example.ORG", "prod_1.example", "corp", "1.example", strings.Repeat("a.", 115) + "a"} {
		if err := CheckDomain(text); err != nil {
			t.Errorf("checking the domain %q: got error %v, want none", text, err)
		}
	}
}
