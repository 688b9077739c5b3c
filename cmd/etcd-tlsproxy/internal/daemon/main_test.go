package daemon_test

import (
	"testing"

	"go.uber.org/goleak"

	"etcd-tlsproxy/proxy/proxytest"
)

func TestMain(m *testing.M) {
	proxytest.WaitTogether()
	goleak.VerifyTestMain(m)
}
