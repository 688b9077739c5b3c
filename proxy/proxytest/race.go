package proxytest

import (
	"runtime/debug"
	"slices"
)

// UnderRaceDetector reports whether this program was built with it: all takes several
// times as long and as much memory then.
func UnderRaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
