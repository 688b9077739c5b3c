//go:build !linux

// Package isolation starts processes without a network. It needs Linux.
package isolation

import "syscall"

// Attrs returns the ways to start a process without a network, which is none here.
func Attrs() []*syscall.SysProcAttr { return nil }
