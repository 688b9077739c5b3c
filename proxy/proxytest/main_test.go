package proxytest

import (
	"testing"
)

func TestMain(m *testing.M) {
	WaitTogether()
	VerifyNoLeaks(m)
}
