//go:build !race

package acl

import (
	"testing"
)

// The race detector makes sync.Pool forget at random, so this is not for it.
func TestARememberedPasswordCostsNoAllocation(t *testing.T) {
	users := testUsers(t, NewHasher(HasherOptions{}), toolsFile(t))
	verify(t, users, "apr1", "apr1-Secret1")
	if n := testing.AllocsPerRun(100, func() { users.Remembered("apr1", "apr1-Secret1") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRemembered(b *testing.B) {
	users := testUsers(b, NewHasher(HasherOptions{}), toolsFile(b))
	verify(b, users, "apr1", "apr1-Secret1")
	b.ReportAllocs()
	for b.Loop() {
		users.Remembered("apr1", "apr1-Secret1")
	}
}
