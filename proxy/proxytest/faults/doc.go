// Package faults tests that the v2 API stays exact while an etcd v3 store fails: three members, and
// three proxies that are processes, each in a network namespace of its own with its member. Package
// exact decides what is exact.
package faults
