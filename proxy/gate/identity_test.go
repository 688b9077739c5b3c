package gate

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestAuthorizationIsReadAsNginxReadIt(t *testing.T) {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	good := func(value string) {
		t.Helper()
		if user, password, login := parseBasic(value, nil); login != LoginUnneeded || string(user) != "root" || string(password) != "p:w=" {
			t.Errorf("%q: %q, %q, %v", value, user, password, login)
		}
	}
	pair := encode("root:p:w=")
	good("Basic " + pair)
	good("basic   " + pair)
	good("BASIC " + pair + " \t")
	good("Basic " + strings.TrimRight(pair, "="))
	for _, value := range []string{
		"", "Basic", "Basic ", "Basic" + pair, "Bearer " + pair, "Basic !!!", "Basic " + pair + " " + pair, "Basic " + encode("root"),
		"Basic " + encode(":pw"), "Basic " + encode("root:"), "Digest username=root", "Basic\t" + pair, "Basic " + pair + ",Basic " + pair,
	} {
		if user, _, login := parseBasic(value, nil); login == LoginUnneeded {
			t.Errorf("%q was read as %q", value, user)
		}
	}
}
