package statuspage

import (
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/observe"
)

func TestAShadowThatFollowsWithoutDifferencesIsNoProblem(t *testing.T) {
	now := time.Now()
	for _, s := range []observe.ShadowStatus{{Following: true}, {Following: true, Differing: 1, LastDifference: now.Add(-2 * differedFor)}} {
		if list := shadowProblems(&s, now); len(list) > 0 {
			t.Errorf("%+v: got the problems %q, want none", s, list)
		}
	}
}

func TestTheProblemsOfAShadowSayWhatToDo(t *testing.T) {
	now := time.Now()
	for want, s := range map[string]observe.ShadowStatus{
		"is lost, so that nothing is compared: why. Run": {Lost: true, Reason: "why"},
		"does not follow the v2 API: why.":               {Reason: "why"},
		"differ from those of the shadow: 7 since":       {Following: true, Differing: 7, LastDifference: now},
	} {
		if list := shadowProblems(&s, now); len(list) != 1 || !strings.Contains(list[0], want) {
			t.Errorf("%+v: got the problems %q, want one with %q", s, list, want)
		}
	}
}
