package shadow

import (
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

func TestMain(m *testing.M) {
	proxytest.WaitTogether()
	proxytest.VerifyNoLeaks(m)
}
