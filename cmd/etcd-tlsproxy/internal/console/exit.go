package console

import "fmt"

// ExitError ends the program with a status of its own; every other error ends it
// with 1. What it means was printed as the result.
type ExitError struct{ Code int }

func (e *ExitError) Error() string { return fmt.Sprintf("exit status %d", e.Code) }
