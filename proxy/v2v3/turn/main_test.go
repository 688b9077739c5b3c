package turn

import (
	"testing"

	"go.uber.org/goleak"
)

// No timer and no waiter may be left.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
