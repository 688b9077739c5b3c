// Package share lets many equal reads cost etcd one, without any of them being
// staler than if it had been sent alone, and many equal watches cost etcd one,
// without any of them missing an event.
//
// # Reads: the next batch
//
// At most one request for the same target is on its way to etcd at a time. Who
// arrives while it is does not get its answer, which etcd may have computed
// already; it waits for the next one, together with all who arrive until that is
// sent. So etcd computes each answer after every one of its receivers has asked:
//
//	receiver asks  <  batch is sent  <  etcd computes  <  receiver is answered
//
// A read that goes alone has the same order of events. A plain v2 read is thus as
// fresh as a direct one, and a quorum read as linearizable, because its receivers'
// invocations all precede the one quorum read that answers them.
//
// Who may read is decided before joining, for each receiver. A batch that fails,
// fails for all of its receivers, as one request to the same etcd would have. A
// receiver that leaves does not disturb the others; when the last one leaves, the
// request is canceled.
//
// The first to come, when nothing is on its way, goes alone: it streams its own
// answer and shares it with nobody.
//
// # Watches: the hub
//
// For each key that is watched, recursive or not, there is one watch at etcd, which
// is armed again from the index behind each event, and a ring of the events that came
// last. A watcher is answered with etcd's index as it was after the watcher asked,
// which is read by the next batch, and gets the first event above it:
//
//	hub watches from A0  <=  watcher asks  <  index A is read  <  events above A
//
// Since the hub watched before, every event above A is in its ring or to come, and
// since A was read after the watcher asked, none of them is old. With a waitIndex the
// first event from there on is looked for in the ring; if the ring does not reach
// back so far, in etcd's history, by a request that all with that index share.
//
// A hub ends when etcd goes away, does not remember what came since the last event,
// or is another etcd than before. Then its ring has a gap that cannot be known, and
// all watchers are told that their watch failed.
package share
