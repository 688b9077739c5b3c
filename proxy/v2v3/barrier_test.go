package v2v3

import (
	"context"
	"testing"
	"time"
)

// TestAQuorumReadIsNotAnsweredFromThePastOfARestoredStore makes the mirror remember a later event than the
// store has ever had, before the store notices that.
func TestAQuorumReadIsNotAnsweredFromThePastOfARestoredStore(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.do("PUT /a?value=1")
	f.mu.Lock()
	f.m.LogRevision += 1000
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(testContext(t), time.Second)
	defer cancel()
	for _, request := range []string{"GET /a?quorum=true", "PUT /a?prevExist=false&value=2"} {
		if a, err := f.Do(ctx, parse(t, request)); err == nil {
			t.Errorf("%s: got the answer %d %s, want an error", request, a.Status, a.Body)
		}
	}
}
