// Package config reads the configuration file of etcd-tlsproxy and checks it.
//
// A setting stands in one place: its field in [Config]. The field's comment is
// the reference text, and its tags are the rest of the reference:
//
//	toml     the key in the file
//	default  the value of a key that is left out; lists are separated by commas
//	min, max the bounds, both inclusive; min:">0" is exclusive, and a bound can
//	         name another key of the same type, as in min:">limits.body_bytes"
//	choices  the only values that are allowed, separated by commas
//	reload   "restart" if a running service cannot change the setting
//
// A default or a bound of "auto" is computed; the field's comment gives the rule.
// Defaults, the checks of bounds and choices, the settings that keep their running
// values at a reload, and [Settings] are all derived from these tags.
//
// [Parse] decodes a file over the defaults and checks everything that can be
// checked without reading another file. Decoding is strict: an unknown key is an
// error that suggests the nearest known one. Parse reports all errors at once,
// each an [Error] with file, line, key, problem and hint. Errors never repeat the
// text of an endpoint that was refused, because it may contain a password.
//
// Settings are values. This package opens no file and no socket, speaks no HTTP,
// and does not know the commands that use it.
package config
