package fronttest

import "testing"

// Lane selects how a [Front] serves plain requests of HTTP/1.1.
type Lane string

// The lanes. Requests that the fast lane does not serve go through the standard lane
// whatever is selected.
const (
	Fast     Lane = "fast"
	Standard Lane = "standard"
)

// EachLane runs test once for each lane, as a subtest that is named after it. The
// subtests run one after the other.
func EachLane(t *testing.T, test func(t *testing.T, l Lane)) {
	t.Helper()
	for _, l := range []Lane{Fast, Standard} {
		t.Run(string(l), func(t *testing.T) { test(t, l) })
	}
}
