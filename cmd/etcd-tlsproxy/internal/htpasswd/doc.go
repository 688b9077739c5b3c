// Package htpasswd edits htpasswd files. A file is read as the proxy reads it, so that
// one with a line the proxy refuses is not touched; an edit changes the lines of one
// user and keeps all other bytes; and what is written is read once more before it takes
// the old file's place, in one step. Whatever fails leaves the old file as it was.
package htpasswd
