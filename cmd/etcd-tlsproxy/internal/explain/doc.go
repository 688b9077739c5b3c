// Package explain says who may do what by a table of rules, which rule says so, and
// what another table would change. It asks the gate that decides about requests, so
// an explanation is never another reading of the rules.
//
// Users are taken for known: whether a password is right is no matter of the table.
// All of it works on a [gate.Policy] of which only the rules, the surfaces, the
// limit of targets and whether writes are refused are read: from a file, or from a
// running proxy, which [Handler] makes tell them at its admin address.
package explain
