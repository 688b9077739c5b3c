package attack

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync/atomic"
	"time"
)

// Spec describes one attack to the process that carries it out.
type Spec struct {
	Attack   string
	Protocol string // one of the protocols below
	Address  string // of the attacked server
	// Sources are the addresses of the attackers. Connections use them in turn.
	Sources []string
	CA      []byte // in PEM; verifies the server
	// User and Password are of an attacker who is a known user, or empty for a stranger.
	User, Password string
	// Folder is an existing key below which the attacker may write.
	Folder string
	// Reconnect replaces what the server closes or resets.
	Reconnect bool
	// Size is how many clients a fleet has.
	Size int
	// Certificate and Key, in PEM, are of the client. Empty means no certificate.
	Certificate, Key []byte
}

// Protocols of the attackers.
const (
	HTTP10 = "1.0"
	HTTP11 = "1.1"
	HTTP2  = "2"
	TLS    = "tls" // the attack takes place before any HTTP
)

// Result is what the attackers saw.
type Result struct {
	Opened  int64 // connections that were established, handshake included
	Refused int64 // connections that failed before they were established
	// RefusedWhat is why the first of them failed.
	RefusedWhat string `json:",omitempty"`
	Cut         int64  // connections that the server closed
	Open        int64  // connections that were open when the attack ended
	Answers     int64  // answers, or the heads of answers
	Resets      int64  // streams of HTTP/2 that the server reset
	Bytes       int64  // received, after decryption
	// Wrong counts what this attacker should have got and did not, or should not have
	// got and did; WrongWhat is the first of them.
	Wrong     int64
	WrongWhat string `json:",omitempty"`
}

// counts are the parts of a result while the attack runs.
type counts struct {
	opened, refused, cut, open, answers, resets, bytes, wrong atomic.Int64
	wrongWhat, refusedWhat                                    atomic.Pointer[string]
}

func (c *counts) result() Result {
	r := Result{
		Opened: c.opened.Load(), Refused: c.refused.Load(), Cut: c.cut.Load(), Open: c.open.Load(), Answers: c.answers.Load(),
		Resets: c.resets.Load(), Bytes: c.bytes.Load(), Wrong: c.wrong.Load(),
	}
	for from, to := range map[*atomic.Pointer[string]]*string{&c.wrongWhat: &r.WrongWhat, &c.refusedWhat: &r.RefusedWhat} {
		if what := from.Load(); what != nil {
			*to = *what
		}
	}
	return r
}

// reportRefused counts a connection that was not established.
func (c *counts) reportRefused(err error) {
	c.refused.Add(1)
	what := err.Error()
	c.refusedWhat.CompareAndSwap(nil, &what)
}

// reportWrong counts something that should not have happened.
func (c *counts) reportWrong(format string, args ...any) {
	c.wrong.Add(1)
	what := fmt.Sprintf(format, args...)
	c.wrongWhat.CompareAndSwap(nil, &what)
}

// attacks are all attacks by name. Each calls ready when it is in full effect, and returns
// when ctx ends.
var attacks = map[string]func(ctx context.Context, c *crew, ready func()) error{
	"ancestors":   ancestors,
	"chains":      chains,
	"connects":    connects,
	"deepanswers": deepAnswers,
	"waiters":     waiters,
	"subtrees":    subTrees,
	"deepkey":     deepKey,
	"fill":        fill,
	"fleet":       fleet,
	"frames":      frames,
	"guesses":     guesses,
	"halfheads":   halfHeads,
	"handshakes":  handshakes,
	"hellos":      hellos,
	"leavers":     leavers,
	"past":        pastEvents,
	"pings":       pings,
	"proposals":   proposals,
	"queue":       queue,
	"refusals":    refusals,
	"expiry":      expiry,
	"silent":      silent,
	"slowreaders": slowReaders,
	"streams":     streams,
	"uploads":     uploads,
}

// Names returns the names of all attacks.
func Names() []string { return slices.Sorted(maps.Keys(attacks)) }

// Run reads a Spec from the first line of in, attacks until in ends, and writes a Result. It writes
// the line "ready" when the attack is in full effect.
func Run(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("reading the attack: %w", err)
	}
	var spec Spec
	if err := json.Unmarshal(line, &spec); err != nil {
		return fmt.Errorf("reading the attack: %w", err)
	}
	run := attacks[spec.Attack]
	if run == nil {
		return fmt.Errorf("reading the attack: %q is not one of %q", spec.Attack, Names())
	}
	c, err := newCrew(spec)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		cancel()
	}()
	err = run(ctx, c, func() { fmt.Fprintln(out, "ready") })
	result := c.result() // before the crew closes its own connections
	c.close()
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}

// authorization returns the value of the field Authorization, or "" for a stranger.
func (s *Spec) authorization() string {
	if s.User == "" {
		return ""
	}
	return basic(s.User, s.Password)
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// wait waits for a time or for the end of ctx, and reports whether ctx goes on.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
