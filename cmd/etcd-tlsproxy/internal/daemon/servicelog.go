package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"etcd-tlsproxy/proxy/lines"
)

// serviceHandler writes the service log as text or as JSON. Both can change while it is
// used.
type serviceHandler struct {
	text, json slog.Handler
	asJSON     *atomic.Bool
	out        *serviceOutput
}

// newServiceHandler returns a handler for records at or above the level, whose out must be closed.
func newServiceHandler(to io.Writer, level slog.Leveler, asJSON *atomic.Bool) *serviceHandler {
	out := newServiceOutput(to)
	text := slog.NewTextHandler(out, &slog.HandlerOptions{Level: level, ReplaceAttr: listAsJSON})
	return &serviceHandler{text: text, json: slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level}), asJSON: asJSON, out: out}
}

// listAsJSON writes a list in the text form as JSON. slog would separate the items by spaces,
// which the items contain as well.
func listAsJSON(_ []string, a slog.Attr) slog.Attr {
	if list, ok := a.Value.Any().([]string); ok {
		var text strings.Builder
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(list); err != nil {
			panic("BUG: a list cannot be encoded: " + err.Error())
		}
		a.Value = slog.StringValue(strings.TrimSpace(text.String()))
	}
	return a
}

func (h *serviceHandler) current() slog.Handler {
	if h.asJSON.Load() {
		return h.json
	}
	return h.text
}

// Enabled implements [slog.Handler].
func (h *serviceHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.current().Enabled(ctx, level)
}

// Handle implements [slog.Handler].
func (h *serviceHandler) Handle(ctx context.Context, r slog.Record) error {
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	h.out.level = r.Level
	return h.current().Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h *serviceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &serviceHandler{h.text.WithAttrs(attrs), h.json.WithAttrs(attrs), h.asJSON, h.out}
}

// WithGroup implements [slog.Handler].
func (h *serviceHandler) WithGroup(name string) slog.Handler {
	return &serviceHandler{h.text.WithGroup(name), h.json.WithGroup(name), h.asJSON, h.out}
}

// serviceOutput receives the lines of the service log. In the journal each line gets the
// priority of its level; otherwise journalctl -p warning would show nothing.
type serviceOutput struct {
	to      io.Writer
	queue   *lines.Queue // of a file, so that nobody waits for its reader; nil otherwise
	journal bool
	lost    atomic.Int64 // lines since the last notice

	mu    sync.Mutex
	level slog.Level // of the line that is written next
}

// newServiceOutput returns an output that must be closed.
func newServiceOutput(to io.Writer) *serviceOutput {
	o := &serviceOutput{to: to, journal: isJournal(to)}
	if _, ok := to.(*os.File); ok {
		o.queue = lines.New(to, lines.Options{Notice: o.notice, Written: func(lost int, _ error) { o.lost.Add(int64(lost)) }})
		o.queue.Start()
	}
	return o
}

// notice says in the log itself how many lines are missing.
func (o *serviceOutput) notice() []byte {
	lost := o.lost.Swap(0)
	if lost == 0 {
		return nil
	}
	return o.prefixed(slog.LevelError, fmt.Appendf(nil, "level=ERROR msg=\"lines of this log were lost\" lost=%d\n", lost))
}

// Write implements [io.Writer]; mu is held.
func (o *serviceOutput) Write(line []byte) (int, error) {
	out := o.prefixed(o.level, line)
	var err error
	if o.queue != nil {
		if err = o.queue.Add(out); err != nil {
			o.lost.Add(1)
		}
	} else {
		_, err = o.to.Write(out)
	}
	if err != nil {
		return 0, err
	}
	return len(line), nil
}

// prefixed returns a line with its priority for the journal. It is one write, so that no other
// line comes between the two parts.
func (o *serviceOutput) prefixed(level slog.Level, line []byte) []byte {
	if !o.journal {
		return line
	}
	return append(fmt.Appendf(nil, "<%d>", priority(level)), line...)
}

// close waits for what was not written yet.
func (o *serviceOutput) close() {
	if o.queue != nil {
		o.queue.Close(time.Second)
	}
}

// priority returns the priority of a level, as in sd-daemon(3).
func priority(level slog.Level) int {
	switch {
	case level >= slog.LevelError:
		return 3
	case level >= slog.LevelWarn:
		return 4
	case level >= slog.LevelInfo:
		return 6
	}
	return 7
}

// isJournal reports whether the writer is the standard error that systemd has connected to
// the journal. systemd puts the device and the inode of that stream into JOURNAL_STREAM.
func isJournal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}
