package console

import "fmt"

// ExitError ends the program with the given status and prints nothing, because the result
// is already printed. Every other error is printed and means status 1.
type ExitError struct{ Code int }

func (e *ExitError) Error() string { return fmt.Sprintf("exit status %d", e.Code) }
