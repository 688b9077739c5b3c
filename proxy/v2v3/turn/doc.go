// Package turn lets writes that change the same thing take turns.
//
// Of several writes that rest on one fact, etcd carries out one and refuses the others. If all of them were
// sent whenever the fact is another one, each round would carry out one write, and cost etcd as many
// transactions as there are writes: it would be busy for others, too. So at most one write of a proxy for each
// key is on its way, and the next one rests on what that has made. The order of the turns is that of package
// account.
//
// The turns only order what a proxy sends. Etcd decides as ever, also between the proxies, whose writes
// conflict as before. A write that loses again and again pauses for a while that grows.
package turn
