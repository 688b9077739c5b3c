package preflight

import "golang.org/x/sys/unix"

// mayBind reports whether this process has the capability to listen on any port.
func mayBind() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_NET_BIND_SERVICE) != 0
}
