package proxytest

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// VerifyNoLeaks runs the tests of a package, ends the process, and fails if goroutines are
// left. It waits for the connections between the members of a cluster: etcd ends those of a
// stopped member five seconds after their last byte.
func VerifyNoLeaks(m *testing.M) { goleak.VerifyTestMain(tests{m}) }

// tests are the tests of a package.
type tests struct{ *testing.M }

// Run implements [goleak.TestingM].
func (t tests) Run() int {
	code := t.M.Run()
	for limit := time.Now().Add(15 * time.Second); code == 0 && goleak.Find() != nil && time.Now().Before(limit); {
	}
	return code
}
