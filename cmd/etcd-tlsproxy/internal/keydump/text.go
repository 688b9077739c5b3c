package keydump

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// text is a JSON string that records whether etcd replaced bytes in it.
type text struct {
	decoded string
	// replaced is true if U+FFFD was written as an escape. etcd does so for each byte
	// that is not UTF-8, and writes a real U+FFFD unescaped.
	replaced bool
}

var errSurrogate = errors.New("it contains half of a surrogate pair")

// UnmarshalJSON decodes a string without loss or returns an error.
func (t *text) UnmarshalJSON(raw []byte) error {
	if !utf8.Valid(raw) {
		return errors.New("it is not UTF-8")
	}
	if err := json.Unmarshal(raw, &t.decoded); err != nil {
		return err
	}
	// After escaped backslashes are removed, every backslash begins an escape.
	escapes := bytes.ToLower(bytes.ReplaceAll(raw, []byte(`\\`), nil))
	escaped := bytes.Count(escapes, []byte(`\ufffd`))
	if strings.Count(t.decoded, "\uFFFD") != escaped+bytes.Count(raw, []byte("\uFFFD")) {
		return errSurrogate // the decoder replaced it by U+FFFD
	}
	t.replaced = escaped > 0
	return nil
}
