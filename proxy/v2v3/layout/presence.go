package layout

import (
	"encoding/json"
	"fmt"
)

// Presence is the value of a session, and of the keeper.
type Presence struct {
	// Time is that of the clock of the proxy when it put the key, in nanoseconds since 1970.
	Time int64 `json:"t"`
	// Session is the session of the keeper. Sessions have their name in their key.
	Session string `json:"s,omitempty"`
	// Host is the name of the proxy's machine, for operators.
	Host string `json:"h,omitempty"`
	// Version is that of the program, for operators.
	Version string `json:"v,omitempty"`
	// Process names the program that runs, which may have several sessions; "" if that is not known.
	Process string `json:"p,omitempty"`
	// Auto is set for a proxy that writes through the v2 API until the tree says otherwise. Whoever
	// freezes the tree waits for it.
	Auto bool `json:"auto,omitempty"`
	// Frozen is the revision of the description of the tree that froze it, once the proxy has
	// no write under way any more.
	Frozen int64 `json:"f,omitempty"`
	// Shadow is what a proxy says that compares its answers with the tree; nil for others.
	Shadow *Shadow `json:"sh,omitempty"`
}

// Shadow is what a proxy says about its comparisons with the tree of a rehearsal, for operators.
type Shadow struct {
	// Index is that of the v2 API which the tree has, as the proxy knows.
	Index uint64 `json:"i"`
	// Compared, Skipped and Differences are numbers of answers since the start of the proxy.
	Compared    int64 `json:"c"`
	Skipped     int64 `json:"s"`
	Differences int64 `json:"d"`
	// Reason is why the tree does not follow; "" if it does.
	Reason string `json:"r,omitempty"`
}

// Encode returns the value.
func (p *Presence) Encode() []byte { return marshal(p) }

// DecodePresence decodes the value of a session or of the keeper.
func DecodePresence(value []byte) (*Presence, error) {
	p := new(Presence)
	if err := json.Unmarshal(value, p); err != nil {
		return nil, fmt.Errorf("decoding a session: %w", err)
	}
	return p, nil
}
