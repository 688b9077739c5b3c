// Package statuspage serves the state of a proxy as a page for operators and as JSON for
// programs.
//
// The page shows only values of the JSON. Go renders it first, so that it can be read
// without JavaScript, in text browsers and with curl. Its script then fetches the JSON
// every two seconds, updates the same places by the same rules, and draws the charts. A
// test checks that Go and the script write the same text.
//
// Values that a client or etcd can choose are never markup: html/template escapes them,
// and the script only sets textContent, which the page's policy (Trusted Types) enforces.
// The page loads nothing and cannot be framed. Requests for a host name that is not this
// machine's are refused, because DNS rebinding would let another site read the page.
package statuspage
