// Package v2draw draws random requests of etcd's v2 API, for tests that compare two stores.
package v2draw

import (
	"math/rand/v2"

	"pgregory.net/rapid"
)

// Seeds are unbiased. The integers of rapid are mostly small, so that choices by them would
// reach the rarer rules too seldom. Shrinking removes steps, and each step keeps its seed.
var Seeds = rapid.Custom(func(t *rapid.T) uint64 {
	seed := uint64(0)
	for range 24 {
		seed <<= 1
		if rapid.Bool().Draw(t, "bit") {
			seed |= 1
		}
	}
	return seed
})

// Choices are the random choices of one step.
type Choices struct{ *rand.Rand }

// New returns the choices of a seed.
func New(seed uint64) Choices { return Choices{rand.New(rand.NewPCG(seed, 1))} }

// Once reports true once in n times.
func (c Choices) Once(n int) bool { return c.IntN(n) == 0 }

// Of returns one of a list.
func (c Choices) Of(list ...string) string { return list[c.IntN(len(list))] }

// Keys are few, so that operations meet. Each is below one of Tops.
var Keys = []string{"/a", "/a/b", "/a/b/c", "/a/_h", "/a/_h/x", "/ab", "/_h", "/a/b/c/d/e", "/d", "/d/e", "/d/f/g", "/f", "/f/g"}

// Tops are the nodes in the root that requests can make. A POST to the root makes others.
var Tops = []string{"/a", "/ab", "/_h", "/d", "/f"}

// Key returns one of Keys, or rarely the root.
func (c Choices) Key() string {
	if c.Once(25) {
		return ""
	}
	return c.Of(Keys...)
}
