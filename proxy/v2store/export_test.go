package v2store

import (
	"io"
	"testing/iotest"
	"time"
)

// RenderLarge renders an answer as if it was large, whole and in pieces.
func RenderLarge(t *Tree, o *Operation, now time.Time) (whole, pieces []byte) {
	n, err := t.find(o.Key)
	if err != nil {
		panic(err)
	}
	whole = t.newLarge(n, o.Recursive, now).Body()
	pieces, _ = io.ReadAll(iotest.HalfReader(t.newLarge(n, o.Recursive, now)))
	return whole, pieces
}
