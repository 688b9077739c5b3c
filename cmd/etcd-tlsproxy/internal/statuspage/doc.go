// Package statuspage shows an operator what a proxy does: one page, and the same as
// JSON for programs.
//
// The page is a view of the JSON and of nothing else. Go renders it once, so that it
// can be read without JavaScript, in text browsers and with curl; its script then gets
// the JSON every two seconds, fills the same places by the same rules, and draws the
// curves. A test holds both to the same text.
//
// Everything that a client or etcd could have chosen is text to both: html/template
// escapes it, and the script knows no way but textContent, to which the page's policy
// (Trusted Types) holds it. The page loads nothing, cannot be framed, and is not
// answered to names that are not this machine's: a browser that was led here by another
// site's DNS would read it for that site.
package statuspage
