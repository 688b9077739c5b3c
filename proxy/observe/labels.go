package observe

import (
	"slices"
	"strconv"
)

// The closed sets of label values. Any other value is "other", so that a client cannot
// add series.
var (
	methodLabels = [...]string{"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "other"}
	codeLabels   = [...]string{"200", "201", "204", "307", "400", "401", "403", "404", "405", "408", "412", "413",
		"414", "417", "429", "431", "500", "501", "502", "503", "504", "505", "other"}
)

func methodLabel(method string) int {
	if i := slices.Index(methodLabels[:], method); i >= 0 {
		return i
	}
	return len(methodLabels) - 1
}

func codeLabel(status int) int {
	if status == 200 {
		return 0
	}
	if i := slices.Index(codeLabels[:], strconv.Itoa(status)); i >= 0 {
		return i
	}
	return len(codeLabels) - 1
}
