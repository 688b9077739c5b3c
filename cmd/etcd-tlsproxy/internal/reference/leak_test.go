package reference

import (
	"testing"

	"go.uber.org/goleak"
)

// The registry of metrics is read by a goroutine, which must end.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
