// Package siteimport converts the nginx site in front of etcd into a configuration of this
// proxy, and lists every kind of request whose outcome will differ.
//
// A [Site] is read from hiera ([ReadHiera]) or from the site's file ([ReadNginx]). It is
// in nginx's terms: prefixes that are compared byte by byte, the longest first, each with
// the users of one htpasswd file. [Site.Config] writes it as a configuration.
// [Site.Differences] computes from the table where both decide differently.
//
// Unknown parameters and directives are errors: a site that does more than its table says
// would otherwise lose that in the import.
package siteimport
