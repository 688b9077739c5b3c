// Package v2v3 serves the tree of etcd's v2 API from an etcd that has only the v3 API.
//
// A [Store] keeps the whole tree in memory, as a mirror. It loads all keys of the tree at one
// revision, and then follows them by one watch. Package layout says where the tree lies.
//
// # Consistency
//
// The mirror proposes and etcd decides. A write is planned on the mirror. It is one transaction,
// which compares exactly the facts that the plan rests on, and which puts the log. If a
// fact does not hold, the write is planned again on a newer mirror. The answer to a write is
// the event that the mirror applies for its revision. So whoever has an answer also finds the
// write in this mirror, and all proxies make the same events of the same revisions.
//
// Writes of this proxy that would conflict with each other take turns instead; see package turn. That
// orders what is sent, and decides nothing.
//
// A refusal rests on the mirror alone. Before it is answered, a linearizable read of the log
// shows the revision of the last event, and the mirror waits for that revision. This is the
// barrier. Quorum reads wait for it too. All who wait when a barrier is sent share it.
//
// Each transaction also compares the revisions of the session and of the description of the
// tree. So a write of a session that ended, or one that was planned before the tree changed its
// state or its past, fails.
//
// # Losses
//
// A mirror never skips a revision. If it may have missed one, all watches are broken off, and
// the mirror is built anew. The same happens if the store has another past than the mirror, and
// if the audit finds a difference.
package v2v3
