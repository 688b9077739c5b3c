//go:build !race

package acl

import (
	"testing"
)

// The test does not run with the race detector, under which sync.Pool drops items at
// random.
func TestARememberedPasswordCostsNoAllocation(t *testing.T) {
	users := mustParse(t, NewHasher(HasherOptions{}), toolsFile(t))
	verify(t, users, "apr1", "apr1-Secret1")
	if n := testing.AllocsPerRun(100, func() { users.Remembered("apr1", "apr1-Secret1") }); n > 0 {
		t.Errorf("Remembered: got %v allocations, want none", n)
	}
}

func BenchmarkRemembered(b *testing.B) {
	users := mustParse(b, NewHasher(HasherOptions{}), toolsFile(b))
	verify(b, users, "apr1", "apr1-Secret1")
	b.ReportAllocs()
	for b.Loop() {
		users.Remembered("apr1", "apr1-Secret1")
	}
}
