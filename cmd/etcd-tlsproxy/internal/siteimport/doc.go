// Package siteimport converts the nginx site in front of etcd into a configuration of this
// proxy, and lists every kind of request whose outcome will differ.
//
// A [Site] is read from hiera ([ReadHiera]) or from nginx's files ([ReadNginx]). It is in
// nginx's terms: prefixes that are compared byte by byte, the longest first, each with the
// users of one htpasswd file. [Site.Config] writes it as a configuration.
// [Site.Differences] computes from the table where both decide differently.
//
// Nothing that nginx refused is opened silently. Every directive outside of those that the
// reader interprets must be in one table, with its effect and the reason; one that the
// table does not have is an error, in whatever block it is. Unknown parameters of hiera are
// errors too. What no rule can express is a conflict, for which the operator must decide.
// [Site.Report] finds these by comparing the finished rules with nginx's own choice of
// locations.
package siteimport
