// Package members answers requests of etcd's v2 API about the members of a cluster, by calls of the
// v3 API. Statuses, bodies and the order of checks are those of etcd 3.4, with one exception: the v3
// API does not say that a member was removed before, so that this is 404 and not 410.
package members
