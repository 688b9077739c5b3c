package preflight

import (
	"fmt"
	"math"
	"syscall"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
)

// OpenFiles returns the number of files that this process may have open. The Go runtime has raised
// the soft limit to the hard one when the process started.
func OpenFiles() int64 {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return math.MaxInt64
	}
	return int64(min(files.Cur, math.MaxInt64))
}

// Of the files that a process may have open, some are not for connections of clients: logs,
// sockets, the admin address and certificates that are read, connections to etcd, and clients that
// wait for a place. These need more the more clients there are.
const (
	otherFiles = 64
	otherShare = 32 // as a divisor
)

// Connections returns how many connections of clients a process with so many files serves. It is
// limits.connections, unless they do not fit.
func Connections(c *config.Config, files int64) int {
	fit := files - otherFiles - files/otherShare
	if awaitedHeaders(c) > 0 {
		fit = fit / (headerShare + 1) * headerShare
	}
	return int(max(1, min(int64(c.Limits.Connections), fit)))
}

// AdviseFiles says that the connections do not fit into so many files, or returns "". A limit is
// a round number: a sixteenth less is not worth a warning.
func AdviseFiles(c *config.Config, doc *config.Document, files int64) string {
	fit := Connections(c, files)
	if fit >= c.Limits.Connections-c.Limits.Connections/16 {
		return ""
	}
	text := fmt.Sprintf("%d connections", c.Limits.Connections)
	if awaited := awaitedHeaders(c); awaited > 0 {
		text += fmt.Sprintf(", and %d of load balancers whose header is awaited,", awaited)
	}
	return doc.Warning(fmt.Sprintf("%s need more open files than this process may have, %d: with those for etcd, logs and clients that wait, %d connections fit "+
		"(hint: raise LimitNOFILE= of the unit, or lower the limit)", text, files, fit), "limits", "connections")
}
