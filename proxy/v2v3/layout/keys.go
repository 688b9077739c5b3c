package layout

import "strings"

// Keys are the keys of one tree. Its value is the prefix.
type Keys string

// Kind is a kind of key.
type Kind int

const (
	// Foreign keys are outside the range of the tree, or nothing that this package knows.
	Foreign Kind = iota
	// Data is the value of a file, or of a client of v3 that uses the same range.
	Data
	// File is the record of a file.
	File
	// Dir is the record of a directory.
	Dir
	// Log is the last event.
	Log
	// Stored is the description of the tree.
	Stored
	// Queue is the last name that a POST chose in a directory.
	Queue
	// Session is a running proxy.
	Session
	// Keeper is the proxy that expires nodes.
	Keeper
	// Lock is held by commands.
	Lock
)

// Data returns the key of a file's value.
func (k Keys) Data(key string) []byte { return []byte(string(k) + key) }

// File returns the key of a file's record.
func (k Keys) File(key string) []byte { return []byte(string(k) + ".v2/f" + key) }

// Dir returns the key of a directory's record.
func (k Keys) Dir(key string) []byte { return []byte(string(k) + ".v2/d" + key) }

// Queue returns the key of the last name that a POST chose in a directory.
func (k Keys) Queue(dir string) []byte { return []byte(string(k) + ".v2/q" + dir) }

// Log returns the key of the last event.
func (k Keys) Log() []byte { return []byte(string(k) + ".v2/log") }

// Meta returns the key of the description of the tree.
func (k Keys) Meta() []byte { return []byte(string(k) + ".v2/meta") }

// Session returns the key of a session. The name "" stands for the beginning of all of them.
func (k Keys) Session(name string) []byte { return []byte(string(k) + ".v2/s/" + name) }

// Keeper returns the key of the proxy that expires nodes.
func (k Keys) Keeper() []byte { return []byte(string(k) + ".v2/keeper") }

// Lock returns the key that commands hold.
func (k Keys) Lock() []byte { return []byte(string(k) + ".v2/lock") }

// Range returns the first key of the tree, and the first key behind it.
func (k Keys) Range() (start, end []byte) { return []byte(string(k) + ".v2/"), []byte(string(k) + "0") }

// Values returns the first value of the tree, and the first key behind them all.
func (k Keys) Values() (start, end []byte) { return []byte(string(k) + "/"), []byte(string(k) + "0") }

// Below returns the range of the keys below a key.
func Below(key []byte) (start, end []byte) {
	// The digit 0 follows the slash.
	return append(key[:len(key):len(key)], '/'), append(key[:len(key):len(key)], '0')
}

// End returns the first key that does not begin with a prefix.
func End(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	end[len(end)-1]++ // no prefix of this package ends with 0xff
	return end
}

// Behind returns the key that follows a key.
func Behind(key []byte) []byte { return append(key[:len(key):len(key)], 0) }

// Parse returns the kind of a key, and which one of its kind it is.
func (k Keys) Parse(key []byte) (Kind, string) {
	rest, found := strings.CutPrefix(string(key), string(k))
	if !found {
		return Foreign, ""
	}
	if rest != "" && rest[0] == '/' {
		return Data, rest
	}
	rest, found = strings.CutPrefix(rest, ".v2/")
	switch {
	case !found:
		return Foreign, ""
	case rest == "log":
		return Log, ""
	case rest == "meta":
		return Stored, ""
	case rest == "keeper":
		return Keeper, ""
	case rest == "lock":
		return Lock, ""
	case rest == "q":
		return Queue, ""
	case strings.HasPrefix(rest, "s/"):
		return Session, rest[2:]
	case len(rest) > 2 && rest[1] == '/':
		switch rest[0] {
		case 'f':
			return File, rest[1:]
		case 'd':
			return Dir, rest[1:]
		case 'q':
			return Queue, rest[1:]
		}
	}
	return Foreign, ""
}
