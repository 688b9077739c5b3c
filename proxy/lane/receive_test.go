package lane

import (
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// TestWhatArrivesInManyPiecesLetsOthersHaveTheProcessor receives records of one byte, on one
// processor, when all have arrived.
func TestWhatArrivesInManyPiecesLetsOthersHaveTheProcessor(t *testing.T) {
	const pieces = 200
	client, server, _ := tlsPair(t)
	p := make([]byte, 1)
	receive := func(n int) {
		t.Helper()
		for range n {
			if _, err := ReceiveMore(server, p); err != nil {
				t.Fatal(err)
			}
		}
	}
	sent := make(chan error, 1)
	go func() {
		for range pieces {
			if _, err := client.Write([]byte{1}); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	receive(1)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	turns := proxytest.CountTurns(t)
	receive(pieces - 1)
	if least := int64(pieces / 2); turns() < least {
		t.Errorf("while %d pieces were received: got %d turns of another goroutine, want at least %d", pieces, turns(), least)
	}
}
