// Package share lets many equal reads cost etcd one, without any of them being
// staler than if it had been sent alone.
//
// # The next batch
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
package share
