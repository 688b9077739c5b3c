package layout

import (
	"encoding/json"
	"fmt"
	"math"

	"etcd-tlsproxy/proxy/v2store"
)

// Extra are the fields of a record that this version does not know. Writes that keep the node
// keep them too.
type Extra map[string]json.RawMessage

// EncodeRecord returns the value of a record. It is empty if all fields have their defaults.
func EncodeRecord(r *v2store.Record, extra Extra) []byte {
	fields := map[string]any{}
	for name, value := range extra {
		fields[name] = value
	}
	if r.Created != 0 {
		fields["c"] = r.Created
	}
	if r.Modified != 0 {
		fields["m"] = r.Modified
	}
	if r.Expires != 0 {
		fields["e"] = r.Expires
	}
	if len(fields) == 0 {
		return nil
	}
	return marshal(fields)
}

// DecodeRecord sets the fields of a record that its stored value has.
func DecodeRecord(value []byte, r *v2store.Record) (Extra, error) {
	if len(value) == 0 || decodePlain(value, r) {
		return nil, nil
	}
	return decodeJSON(value, r)
}

// maxDigits is the length of the numbers that fit into 63 bits, and of times until the year 2286.
const maxDigits = 19

// decodePlain decodes a record as EncodeRecord writes it if it has no other fields. Most records of a tree
// are like that, and decoding JSON takes many times as long. It reports false, and sets nothing, if there
// is anything else.
func decodePlain(value []byte, r *v2store.Record) bool {
	decoded := *r
	rest, before := value, byte('{')
	for _, name := range []byte("cem") {
		if len(rest) < 5 || rest[0] != before || rest[1] != '"' || rest[2] != name || rest[3] != '"' || rest[4] != ':' {
			continue
		}
		n, digits := uint64(0), rest[5:]
		for len(digits) > 0 && digits[0] >= '0' && digits[0] <= '9' {
			n, digits = n*10+uint64(digits[0]-'0'), digits[1:]
		}
		if length := len(rest) - 5 - len(digits); length == 0 || length > maxDigits || length > 1 && rest[5] == '0' || n > math.MaxInt64 {
			return false
		}
		switch name {
		case 'c':
			decoded.Created = n
		case 'e':
			decoded.Expires = int64(n)
		case 'm':
			decoded.Modified = n
		}
		rest, before = digits, ','
	}
	if before == '{' || string(rest) != "}" {
		return false
	}
	*r = decoded
	return true
}

func decodeJSON(value []byte, r *v2store.Record) (Extra, error) {
	var extra Extra
	if err := json.Unmarshal(value, &extra); err != nil {
		return nil, fmt.Errorf("decoding the record of %q: %w", r.Key, err)
	}
	for name, to := range map[string]any{"c": &r.Created, "m": &r.Modified, "e": &r.Expires} {
		field, found := extra[name]
		if !found {
			continue
		}
		if err := json.Unmarshal(field, to); err != nil {
			return nil, fmt.Errorf("decoding the field %s of the record of %q: %w", name, r.Key, err)
		}
		delete(extra, name)
	}
	if len(extra) == 0 {
		extra = nil
	}
	return extra, nil
}

// Entry is the value of log: the event of the revision that put it.
type Entry struct {
	Action v2store.Action `json:"a"`
	Key    string         `json:"k,omitempty"`
	// Time is that of the change, in nanoseconds since 1970.
	Time    int64 `json:"t"`
	Refresh bool  `json:"r,omitempty"`
	// Origin is the session that wrote it, a dot, and the number of the write.
	Origin string `json:"o,omitempty"`
	// Batch are the changes of a batch.
	Batch []Batched `json:"b,omitempty"`
}

// Mark is the action of an entry that is no event. It only raises the index.
const Mark v2store.Action = "none"

// Encode returns the value of log.
func (e *Entry) Encode() []byte { return marshal(e) }

// DecodeEntry decodes the value of log.
func DecodeEntry(value []byte) (*Entry, error) {
	e := new(Entry)
	if err := json.Unmarshal(value, e); err != nil {
		return nil, fmt.Errorf("decoding the log: %w", err)
	}
	return e, nil
}

func marshal(v any) []byte {
	value, err := json.Marshal(v)
	if err != nil {
		panic("BUG: encoding a record: " + err.Error())
	}
	return value
}
