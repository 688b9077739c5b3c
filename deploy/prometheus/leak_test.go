package prometheus

import (
	"testing"

	"go.uber.org/goleak"
)

// The tests copy the output of the programs that they start, and must stop doing so.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
