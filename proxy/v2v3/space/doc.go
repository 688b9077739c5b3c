// Package space knows how full the store of etcd is, and whose writes it has room for.
//
// Etcd refuses all writes, removals too, when the file of a member has reached its quota. Somebody must make
// space by hand then. So the quota is shared among clients before that. What counts is the part of the file
// that is in use: a compaction makes it smaller, and the file grows only when there is none left. Writes of this
// proxy are added to what was measured last.
//
// Of writes that make the store larger, when compactions do not help,
//   - above a half of the quota, those of accounts that wrote most are refused. At first it is one account,
//     and the fuller the store is, the less an account may have written to go on. Who has written little
//     goes on;
//   - above 65 %, those that need no login are refused, too;
//   - above 80 %, all are refused.
package space
