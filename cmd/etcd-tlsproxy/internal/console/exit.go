package console

import (
	"fmt"

	"etcd-tlsproxy/cmd/internal/usage"
)

// The exit statuses of all verbs. cluster-health --nagios has those of Icinga plugins.
const (
	ExitFailure = usage.Failed // the verb failed, or found a problem
	ExitUsage   = usage.Wrong  // the command line is wrong
	ExitNo      = 3            // the verb worked, and its answer is no
	ExitPlanned = 4            // only the plan was printed: --yes is missing
)

// ExitError ends the program with the given status and prints nothing, because the result
// is already printed. Every other error is printed and means status 1.
type ExitError struct{ Code int }

func (e *ExitError) Error() string { return fmt.Sprintf("exit status %d", e.Code) }
