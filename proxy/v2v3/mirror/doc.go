// Package mirror keeps the tree of v2 in memory as the store has it at a revision: loaded from keys, and
// followed by revisions. It has no network and no clock.
//
// All mirrors of a store that have applied the same revisions are equal: nodes, indexes, events, and
// the history. Where a mirror was loaded does not matter, except for how far its history
// reaches.
//
// Changes that no client of v2 made are not followed. They are found by a [Comparison] if they
// concern a node. Values without a record belong to clients of v3, and [Mirror.Protects] names the
// changes that would replace or remove them.
package mirror
