// Package reference generates REFERENCE.md and the manual page etcd-tlsproxy.toml(5).
//
// Every fact has one source, and the documents are made from it:
//
//	settings     the fields of config.Config, their comments and their tags
//	status JSON  the fields of statuspage.Status and observe.Status, and their comments
//	metrics      the registry of observe.Metrics
//	refusals     the calls of refuse in package gate
//
// The text around them is in reference.md.tmpl. Comments are read from the source tree,
// so the package is of use only there: a test compares the committed documents with
// what [Generate] returns, and writes them with -update. The program does not import
// this package, and so does not contain Go's parser.
package reference

//go:generate go test . -run TestReferenceIsGenerated -update
