// Package share lets many equal reads cost etcd one request, and many equal watches
// cost it one watch. No read gets a staler answer than if it had been sent alone, and
// no watch misses an event.
//
// # Reads: the next batch
//
// At most one request for the same target is in flight at a time. A read that arrives
// while a request is in flight does not share its answer: etcd may have computed it
// before the read was made. It joins the next batch instead, with all reads that
// arrive until that batch is sent. So etcd computes each answer after all of its
// readers have asked:
//
//	reader asks  <  batch is sent  <  etcd computes  <  reader is answered
//
// A read that is sent alone has the same order of events. A plain v2 read is thus as
// fresh as a direct one. A quorum read is as linearizable, because the invocations of
// all its readers precede the one quorum read that answers them.
//
// Access is decided for each reader before it joins. If a batch fails, it fails for all
// of its readers, like one request to the same etcd. A reader that leaves does not
// disturb the others. When the last one leaves, the request is canceled.
//
// A read that finds no request in flight goes alone: its caller streams the answer and
// does not share it.
//
// # Watches: the hub
//
// For each watched key, recursive or not, there is one watch at etcd and a ring of
// recent events. The watch is renewed from the index behind each event. A watcher is
// answered with an index of etcd that was read after the watcher asked, by the next
// batch. It gets the first event above that index:
//
//	hub watches from A0  <=  watcher asks  <  index A is read  <  events above A
//
// The hub was watching before, so every event above A is in its ring or still to come.
// A was read after the watcher asked, so none of these events is old. A watcher with a
// waitIndex gets the first event from that index on. If the ring does not reach back so
// far, it comes from etcd's history, by a request that all watchers with that index
// share.
//
// Hubs of different keys receive the same event if one key is above the other. Its text is
// kept once, and counted once against the bound of all events. An event that etcd has
// already is received like the answer to a read: with the slot of a read, and completely
// before its watcher is answered.
//
// A hub ends when etcd goes away, no longer remembers the events since the last one, or is a
// different cluster than before, and when there is no memory for an event. Its ring then has
// a gap of unknown size, so all of its watchers fail.
//
// # Watches: the feed
//
// A source that has all events itself needs no hub. It delivers events to the watchers of a
// [Feed], which only queues them: a goroutine of the feed notifies the watchers.
package share
