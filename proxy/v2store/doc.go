// Package v2store implements the semantics of etcd's v2 key space. It has no network, no clock and
// no locks. It follows etcd 3.4.
//
// [Parse] turns a request into an [Operation]. [Tree.Get] answers reads. [Plan] turns a write into
// an [Error] or a [Change], and names the facts that the change rests on. [Tree.Apply] applies a
// change at an index and returns its [Event]. Events go to a [History] and to [Watches].
// [Event.Answer] and [Error.Answer] render what clients receive. The caller synchronizes.
//
// # Rules
//
// Index. The store has one index. Each successful write and each expiration has a larger index
// than all before it. Reads and failed operations do not change the index. In etcd the index grows
// by one; here the caller supplies it, so it may have gaps. Every answer carries the index of the
// store at the time of the answer. The answer to a watch carries the index at its registration.
// Errors of parsing carry 0.
//
// Indexes of nodes. Create and set give a node a new createdIndex and modifiedIndex, even if set
// replaces a file. Update and compareAndSwap keep createdIndex. An update of a directory changes its
// expiry and not its modifiedIndex, although the event shows the new index. Missing parents are
// created with the same index, without expiry and without an event. Etcd 3.5 refuses updates of
// directories with status 500; this package follows etcd 3.4, which performs them.
//
// Order of checks. The form is checked first (codes 201 to 212). A write to the root is refused
// with 107. Then the path is walked: a file above the key is 104 with the path of the file, and
// the first missing component is 100 with its path. Then the kind of the node is checked (102, 105,
// 108), and then the conditions (101). The cause of 101 names each failed condition as
// [wanted != found]. A compareAndDelete of the root is 102 with an empty cause. The root has neither
// key nor indexes.
//
// Dispatch. PUT with prevExist=true is an update, or a compareAndSwap if it has another condition.
// PUT with prevExist=false is a create, whatever else it has. Another PUT is a compareAndSwap if it
// has a condition, and else a set. A prevIndex of 0 is not a condition. A set with dir=true replaces
// a file. POST creates a node that is named by the next index in 20 digits. DELETE with a condition
// is a compareAndDelete. If a field of a form has several values, the first one counts. The body
// precedes the query.
//
// Refresh. A write with refresh=true keeps the value. It has an event, which watchers never receive.
// It requires a ttl (212), allows no value (211), and fails with 100 if the key is missing.
//
// Expiry. A node expires at an absolute time. A write without ttl makes a node permanent. A create
// or set with an expiry before the year 2000 is permanent too. A ttl of 0 means now. Due nodes
// expire in the order of their times; nodes with equal times expire in the order of their keys. A
// directory expires with everything below it in one event. Until then, due nodes are visible. The
// ttl in an answer is the remaining time, rounded up to seconds. It is absent if it is 0, and
// negative if the time has passed.
//
// Hidden nodes. A node is hidden if its name begins with an underscore. Listings omit it. It can
// be read and written directly. A watch of a node above a hidden one does not receive its live
// events, but does receive them from the history.
//
// Watches. A watch receives events at its key, and if it is recursive, events below its key. The
// removal of a directory is also sent to the watches of each node that existed below it, whether
// they are recursive or not. A watch without waitIndex starts after the current index. A watch with
// waitIndex receives the first matching event at or after that index, from the history if possible.
// In the history, the removal of a directory matches each key that begins with the string of its key.
//
// History. The last 1,000 events are kept, refreshes included, but at most 64 MiB of their keys and
// values, which etcd does not bound. An index before them is 401.
//
// Streams. A stream receives one event after another, with two exceptions that clients of etcd see
// too: a stream that is answered from the history receives nothing after that event, and a stream
// that watches a removed node itself receives the removal twice.
//
// Answers. A create, and a set without prevNode, has status 201. Bodies are JSON with HTML
// escaping, and end with a line feed. With noValueOnSuccess, create, set, update and compareAndSwap
// are answered without nodes. Listings are always sorted, which etcd only does if asked.
package v2store
