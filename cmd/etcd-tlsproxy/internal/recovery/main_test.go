package recovery

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// minParallel is the number of tests that run at the same time, also on machines with
// few processors: the tests mostly wait for etcd and for elections.
const minParallel = 8

func TestMain(m *testing.M) {
	flag.Parse()
	parallel := flag.Lookup("test.parallel")
	if n, ok := parallel.Value.(flag.Getter).Get().(int); ok && n < minParallel {
		if err := parallel.Value.Set(fmt.Sprint(minParallel)); err != nil {
			fmt.Fprintln(os.Stderr, "setting -test.parallel:", err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}
