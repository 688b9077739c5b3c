package keydump

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// text is a JSON string that tells whether it is what its writer meant.
type text struct {
	decoded string
	// replaced tells that U+FFFD was written as an escape. etcd does so for each byte
	// that is not UTF-8, and writes a real U+FFFD as it is.
	replaced bool
}

var errSurrogate = errors.New("it holds half of a surrogate pair")

// UnmarshalJSON decodes without loss, or not at all.
func (t *text) UnmarshalJSON(raw []byte) error {
	if !utf8.Valid(raw) {
		return errors.New("it is not UTF-8")
	}
	if err := json.Unmarshal(raw, &t.decoded); err != nil {
		return err
	}
	// Without escaped backslashes, every backslash begins an escape.
	escapes := bytes.ToLower(bytes.ReplaceAll(raw, []byte(`\\`), nil))
	escaped := bytes.Count(escapes, []byte(`\ufffd`))
	if strings.Count(t.decoded, "\uFFFD") != escaped+bytes.Count(raw, []byte("\uFFFD")) {
		return errSurrogate // the decoder put U+FFFD in its place
	}
	t.replaced = escaped > 0
	return nil
}
