// Package exact decides whether what clients of the v2 API were told can be true. A [History] has what
// they did, with the answers, and the events that watchers received. It is exact if
//
//   - each acknowledged write has one event, at the index and with the nodes of its answer; each other
//     event is that of one write of unknown outcome, or of the expiry of a node;
//   - each event continues the tree that the events before it have made, and each answer, also each
//     refusal of a condition, is true in the tree of its index;
//   - an operation that began when another one had ended does not have an older index, unless it is a
//     plain read; and no client sees an index go backwards at one proxy;
//   - registers and directories are linearizable, without regard to indexes;
//   - all watchers received the same events in the same order, each once.
//
// The package is pure: tests give it histories with faults that it must find.
package exact
