package certs

import (
	"testing"

	"go.uber.org/goleak"
)

// The tests start a goroutine for each server; all must end with their connections.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
