package v2v3

import (
	"fmt"
	"sync/atomic"
	"testing"

	"etcd-tlsproxy/proxy/v2store"
)

// BenchmarkWrite sets different files from 64 goroutines. The embedded etcd needs most of the time.
func BenchmarkWrite(b *testing.B) {
	s := benchStore(b, 1000)
	var n atomic.Int64
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		i := n.Add(1)
		for pb.Next() {
			op := &v2store.Operation{Action: v2store.Set, Key: fmt.Sprintf("/w/%d", i), Value: "a value"}
			if _, err := s.Do(b.Context(), op); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkQuorumRead reads a file behind a barrier from 64 goroutines.
func BenchmarkQuorumRead(b *testing.B) {
	s := benchStore(b, 1000)
	op := &v2store.Operation{Action: v2store.Set, Key: "/f", Value: "a value"}
	if _, err := s.Do(b.Context(), op); err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Do(b.Context(), &v2store.Operation{Action: v2store.Get, Key: "/f", Quorum: true}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
