//go:build !linux

package preflight

import "os"

// mayBind reports whether this process may listen on any port.
func mayBind() bool { return os.Geteuid() == 0 }
