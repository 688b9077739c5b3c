// Package explain reports what a table of rules allows, which rule decides, and what
// another table would change. It calls the gate that decides about requests, so an
// explanation cannot differ from the decision.
//
// Passwords are not checked: every user counts as authenticated. The package reads only
// the rules, the surfaces, the limit of targets and the read-only flag of a
// [gate.Policy]. They come from a file, or from a running proxy, which publishes them
// at its admin address with [Handler].
package explain
