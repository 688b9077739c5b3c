// Package isolation starts processes without a network. It needs Linux.
package isolation

import (
	"os"
	"syscall"
)

// Attrs returns the ways to start a process without a network: as root, and as another user
// on systems where users may create namespaces. On other systems there is none.
func Attrs() []*syscall.SysProcAttr {
	uid := []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
	gid := []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	return []*syscall.SysProcAttr{
		{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL},
		{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWUSER, UidMappings: uid, GidMappings: gid, Pdeathsig: syscall.SIGKILL},
	}
}
