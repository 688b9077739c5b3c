package v2v3

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestAWriteIsNotSentWhileEtcdIsAway writes without a stream of events: once until the time is over, and
// once until the stream is back.
func TestAWriteIsNotSentWhileEtcdIsAway(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.away()
	ctx, cancel := context.WithTimeout(testContext(t), 100*time.Millisecond)
	defer cancel()
	for _, request := range []string{"PUT /a?value=1", "POST /q?value=1", "DELETE /none"} {
		_, err := f.Do(ctx, parse(t, request))
		var known *Error
		if !errors.As(err, &known) || known.Kind != NotExecuted || !strings.Contains(known.Reason, errAway.Error()) {
			t.Errorf("%s: got the error %v, want that it was not executed because etcd is away", request, err)
		}
	}
	answer := make(chan string, 1)
	go func() { answer <- f.do("PUT /a?value=2") }()
	f.back()
	if got := next(t, answer); !strings.HasPrefix(got, "201 ") {
		t.Errorf("got the answer %s, want that of etcd", got)
	}
}
