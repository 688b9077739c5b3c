package proxytest

import (
	"runtime/debug"
	"slices"
)

// UnderRaceDetector reports whether this program was built with the race detector, with
// which everything takes several times as much time and memory.
func UnderRaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
