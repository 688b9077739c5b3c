// Package siteimport turns what the nginx site before etcd was made of into a configuration
// of this proxy, and tells every request whose outcome will differ.
//
// A [Site] is what hiera ([ReadHiera]) or the site's file ([ReadNginx]) say, in nginx's
// own terms: prefixes that are compared byte by byte, the longest first, with the users
// of one htpasswd file each. [Config] writes it in ours. [Site.Differences] compares the
// two readings of the same table: it is computed from the table, not a fixed text.
//
// What is not understood is refused. A site that does more than its table says would
// otherwise be taken over without it.
package siteimport
