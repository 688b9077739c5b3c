package statuspage

import (
	"fmt"
	"time"

	"etcd-tlsproxy/proxy/observe"
)

// changeoverProblems lists what needs an operator's attention while keys move from the v2 API to the v3
// store.
func changeoverProblems(c *observe.ChangeoverStatus) (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	since := c.Since.UTC().Format(time.DateTime)
	switch c.Phase {
	case "frozen":
		add("Writes wait since %s, because a command moves the keys between the v2 API and the v3 store. If the command is gone, they go on within %s.", since, lockSeconds)
	case "unknown":
		add("Writes wait since %s, because it is not known whether the v2 API or the v3 store has the keys: %s.", since, c.Reason)
	}
	if c.Unknown > 0 {
		add("Writes that the v2 API has executed are perhaps not in the v3 store: %d since the start. The audit log has them, with unknown_outcome.", c.Unknown)
	}
	return list
}

// lockSeconds is how long the lock of a command outlives it, in words.
const lockSeconds = "5 s"
