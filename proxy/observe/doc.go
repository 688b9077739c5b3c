// Package observe records what the proxy does, for its operators: metrics, access log,
// audit log, and the status.
//
// [Observer] receives all reports. A lane reports each decision of the gate and each
// answered request to it, once. Everything that is shown is derived from these reports,
// from the counters of packages share and upstream, and from a few gauges that the server
// reads. The package knows no socket and decides nothing.
//
// No value of a key and no password is recorded anywhere. A name that was only claimed is
// recorded if a file of users or a rule has this name; any other could be a mistyped password.
// Labels of metrics come from closed sets or from the operators' files, never from a request.
// Texts that clients chose are bounded in length
// and in number before the status shows them.
package observe
