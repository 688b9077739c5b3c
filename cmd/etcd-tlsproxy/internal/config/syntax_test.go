package config

import "testing"

func TestAMistakeInTheSyntaxIsNamedWithItsLineAndNotWithTheKeyBefore(t *testing.T) {
	for text, want := range map[string]string{
		"[log]\naudit = \"a\"\n\n[acls\n\"/a\" = []\n":                    `f:4: not valid TOML: expected '.' or ']' to end table name, but got '\n' instead`,
		"\ufeff[log]\r\naudit = \"a\"\r\n\r\n[acls\r\n\"/a\" = []\r\n":    `f:4: not valid TOML: expected '.' or ']' to end table name, but got '\r' instead`,
		"[log]\naudit = \"a\"\n[acls]\n\"/a\" [\"u\"]\n":                  `f:4: not valid TOML: expected '.' or '=', but got '[' instead`,
		"[log]\naudit = \"a\" \"b\"\n":                                    `f:2: not valid TOML: expected a top-level item to end with a newline, comment, or EOF, but got '"' instead`,
		"[acls]\n\"/a\" = [\"u\",\n  \"v\"\n  \"w\"]\n":                   `f:4: acls./a: not valid TOML: expected a comma (',') or array terminator (']'), but got '"'`,
		"[acls]\n\"/a\" = [\"u\n":                                         `f:2: acls./a: not valid TOML: strings cannot contain newlines`,
		"listen = \n[tls]\n":                                              `f:1: listen: not valid TOML: expected value but found '\n' instead`,
		"[log]\naudit = \"a\"\naudit = \"b\"\n":                           `f:3: log.audit: not valid TOML: Key 'log.audit' has already been defined.`,
		"[limits]\nwatches = 1\n[limits]\n":                               `f:3: not valid TOML: Key 'limits' has already been defined.`,
		"[acls]\n\"/a\" = { read = [\"u\"],\n  write = [\"v\" }\n[log]\n": `f:3: acls."/a".write: not valid TOML: expected a comma (',') or array terminator (']'), but got '}'`,
		"[acls]\n\"/a\" = [\"u\"":                                         `f:2: acls./a: not valid TOML: expected a comma (',') or array terminator (']'), but got end of file`,
	} {
		if _, _, err := Decode("f", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q:\ngot  %v\nwant %s", text, err, want)
		}
	}
}
