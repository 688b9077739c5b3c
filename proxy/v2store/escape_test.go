package v2store

import (
	"encoding/json"
	"testing"
)

func TestStringsAreWrittenAsEncodingJSONWritesThem(t *testing.T) {
	for c := range 256 {
		for _, text := range []string{string([]byte{byte(c)}), "a" + string(rune(c)) + "b"} {
			want, err := json.Marshal(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := appendString([]byte("x"), text); string(got) != "x"+string(want) {
				t.Errorf("the string %q: got %s, want %s after an x", text, got, want)
			}
			if got := quoted(text); got != len(want) {
				t.Errorf("the string %q: got a size of %d, want that of %s, %d", text, got, want, len(want))
			}
		}
	}
}
