package proxytest

import (
	"flag"
	"runtime"
	"strconv"
)

// parallelTests is how many tests that wait run at the same time. More would let the deadlines of
// tests pass on a machine with two processors.
const parallelTests = 8

// WaitTogether lets parallel tests of a package run at the same time also on machines with few processors:
// they mostly wait, for timeouts, elections and other processes. -parallel still changes it. TestMain calls it
// before it runs the tests.
func WaitTogether() {
	flag.Parse()
	limit := flag.Lookup("test.parallel")
	if limit.Value.String() != limit.DefValue {
		return
	}
	n := parallelTests
	if UnderRaceDetector() {
		n = min(n, 2*runtime.GOMAXPROCS(0)) // the processors are busy
	}
	if err := limit.Value.Set(strconv.Itoa(n)); err != nil {
		panic("BUG: " + err.Error())
	}
}
