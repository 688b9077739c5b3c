// Package presence lets the proxies of one store know of each other.
//
// A [Session] is the key of a running proxy, bound to a lease. Each write compares the revision at
// which that key was put last. So a proxy can put up a fence: it puts the key again, and from then on
// none of its older writes is executed any more, wherever they are under way.
//
// A [Keeper] takes part in the election of the one proxy that expires nodes and compacts the
// store. Its clock decides what is due, so it gives its place up if its clock jumps, or if most of the
// others have another time.
package presence
