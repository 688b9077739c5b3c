package http1

import (
	"strings"
	"testing"
)

func TestAControlByteIsFoundAtEachPlaceOfEachLength(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				for _, around := range []string{" ", "\t", "~", "\x80", "\xff"} {
					b := []byte(strings.Repeat(around, length))
					b[at] = byte(c)
					want := c < ' ' && c != '\t' || c == 0x7f
					if got := hasControl(string(b)); got != want {
						t.Fatalf("a control byte in %q: got %t, want %t", b, got, want)
					}
				}
			}
		}
	}
}
