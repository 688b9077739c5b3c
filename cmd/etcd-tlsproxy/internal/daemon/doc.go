// Package daemon runs the front end that a configuration file describes.
//
// [Run] loads the configuration and all files that it names, opens the sockets or
// takes over those of the service manager, and serves until its context ends. It
// then drains: the readiness check fails, no connection is accepted, and running
// requests finish within limits.drain.
//
// A reload reads everything, validates everything, compares it with the state in
// force, and publishes a new snapshot in one step. The snapshot is made of the newest
// valid units: certificates and client CAs; users, rules and surfaces; and all other
// settings. A unit that is not valid stays in force as before, and the error is logged
// and counted. Settings that need a restart keep their running values, and are reported.
// Everything that has not changed is carried over, so that verified passwords stay
// cached and connections to etcd stay open. A reload starts
//
//   - within two seconds of a change of a file,
//   - at once on SIGHUP, which also reopens the log files, and
//   - at once on POST /-/reload at the admin address.
//
// Endpoints that are found in DNS are looked up again after each reload and at the
// interval upstream.srv_refresh. The lookup runs beside the reloads, because DNS may
// take seconds to answer. If it fails, the previous endpoints stay in use.
package daemon
