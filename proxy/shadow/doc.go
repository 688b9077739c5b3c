// Package shadow compares what the v2 API of etcd answers with what the same tree in a v3 store would answer.
//
// The tree is the copy that a rehearsal has made. The clients are served by the v2 API alone, and are never given
// anything of the shadow.
//
// # What is applied
//
// Every change of the v2 store is an event with an index of its own. A [Shadow] reads them in the order of their
// indexes, and the one that was elected among all proxies appends them to the tree: those that wait together, in
// one transaction that compares the log, so that two proxies exclude each other. An event says what a node is after
// the change, so nothing depends on which proxy a write came through, and writes past the proxies count as well.
// Operations themselves could not be sent to both stores: only etcd knows the order in which it executed those of
// several proxies.
//
// A batch of events is necessary because a transaction takes as long as a write to etcd, and the v2 API executes
// those of many clients at the same time. The log lists the events of a batch with the values that are replaced
// within it, so that each proxy applies them one by one, and knows the tree at each index.
//
// The records carry the indexes of the v2 store, and the log says the index of the last event. So the constant
// difference between the indexes of both stores is 0, whatever else takes revisions of the v3 store.
//
// A watch does not tell of hidden keys, but the history does: a watch with the index of an event that etcd has
// already is answered with it, hidden or not. So each gap in the indexes is asked for again, and a watch that waits
// is asked again each second. What is a gap then is a write of etcd's own, or a refresh, which no watch tells of.
// What a refresh changes, the expiry and the indexes of a node, is not compared until the next event of that node.
//
// # What is compared
//
// A share of the answers of the v2 API is handed over, with copies of the requests. The answer to a read, or a
// refusal of a write, is compared when the tree has the index of the answer; later only if nothing has
// touched the key since. For a write that was executed, the operation is planned on the tree just before its event, and
// what that would change and answer is compared. Expiries are equal within a second, and all else exactly.
//
// Everything is bounded. What is handed over is charged to a pool of its own; if that is full, or the shadow is
// behind for too long, an answer is skipped and counted. No client waits for any of it. If the v3 store is away,
// events wait in memory; when that is used up, they wait in etcd's history, which has the last thousand. If that is
// not enough the shadow is lost, says so, and goes on with the copy of the next rehearsal.
package shadow
