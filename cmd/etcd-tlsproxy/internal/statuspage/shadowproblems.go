package statuspage

import (
	"fmt"
	"time"

	"etcd-tlsproxy/proxy/observe"
)

// shadowProblems lists what needs an operator's attention while answers are compared with a shadow. Clients notice
// nothing of any of it.
func shadowProblems(s *observe.ShadowStatus, now time.Time) (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	switch {
	case s.Lost:
		add("The shadow is lost, so that nothing is compared: %s. Run etcd-tlsproxy migrate rehearse again. Clients are served as before.", s.Reason)
	case !s.Following:
		add("The shadow does not follow the v2 API: %s. Clients are served as before.", s.Reason)
	}
	if s.Differing > 0 && now.Sub(s.LastDifference) < differedFor {
		add("Answers of the v2 API differ from those of the shadow: %d since the start, the last one at %s.", s.Differing, s.LastDifference.UTC().Format(time.DateTime))
	}
	return list
}
