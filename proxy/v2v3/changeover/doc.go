// Package changeover lets the proxies of a fleet go over from etcd's v2 API to a tree in its v3
// store, all at the same moment and without losing a write.
//
// The description of the tree says who serves. Without one, etcd's v2 API does. A command freezes
// the tree: it puts a description in the state [layout.Frozen], bound to nothing, and holds the key
// of the lock with a lease. Each proxy then holds the writes that arrive, waits until those under way
// have their answers, and says so in the key of its session. When all sessions that exist have said so,
// nobody writes through a proxy any more. The command then copies the tree and puts its
// description in the state [layout.Live], and the writes that were held go to the tree.
//
// If the command ends early, its lock goes with its lease. Any proxy then gives the tree the state that it
// had before, or [layout.Unfinished] if there was none, in a transaction that compares the lock, and the writes that were held go where they would have gone.
//
// The way back is the same: the command freezes a live tree, copies it to the v2 API, and gives the tree the
// state [layout.Unfinished].
// Writes to the tree compare its description, so that none of them is executed once it is frozen.
//
// # Why no write is lost
//
// A proxy puts its session before it reads the description, and takes writes only if the tree was
// not frozen then. So a command that freezes the tree later finds the session, unless the session has
// ended meanwhile: a machine may have been asleep. For that reason a proxy acknowledges a write that the v2
// API has answered only after it has seen, in one linearizable read, that its session still exists.
// Then the command still waits for this proxy, and the copy that it makes has the write. Otherwise
// the outcome of the write is unknown, and the client is told so.
//
// A store that is full takes no session, and no description that freezes the tree either. A proxy that can have no
// session for that reason takes writes without. It acknowledges one only after it has seen, in a linearizable read,
// that the description is the same as before the write was sent: then the tree was not frozen when the v2 API executed
// the write, or nothing has become of that freeze. A command that has the keys moved once there is room again may not
// know of the proxy and not wait for it, so that the outcome of such a write is unknown.
package changeover
