// Package htpasswd edits htpasswd files. It parses a file like the proxy does, and does not
// edit a file with a line that the proxy would refuse. An edit changes the lines of one
// user and keeps all other bytes. The new content is parsed again before it replaces the
// old file in one step. After an error the old file is unchanged.
package htpasswd
