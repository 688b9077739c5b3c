package observe

import (
	"testing"
)

func TestValuesNeverReachALog(t *testing.T) {
	for query, want := range map[string]string{
		"":                                  "",
		"wait=true&recursive=true":          "wait=true&recursive=true",
		"value=hunter2&prevIndex=7":         "value=-&prevIndex=7",
		"prevValue=hunter2":                 "prevValue=-",
		"hunter2":                           "-",
		"wait=hun%20ter2":                   "wait=-",
		"%76alue=hunter2":                   "-=-",
		"recursive=true&password=x&sorted=": "recursive=true&password=-&sorted=",
	} {
		if got := redactQuery(query); got != want {
			t.Errorf("%s logged as %s, want %s", query, got, want)
		}
	}
}
