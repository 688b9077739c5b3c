package acl

import (
	"testing"

	"go.uber.org/goleak"
)

// The package starts no goroutines of its own. Logins that wait for a worker must not
// be left behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
