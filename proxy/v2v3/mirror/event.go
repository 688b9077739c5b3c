package mirror

import (
	"strconv"

	"etcd-tlsproxy/proxy/v2store"
)

// Event is an event of the tree as watches receive it, rendered once for all of them.
type Event struct {
	*v2store.Event
	// Body is JSON and a line feed. Chunked is Body as one chunk of HTTP/1.1, with the last chunk.
	Body, Chunked []byte
}

// maxRendered bounds the bytes of the rendered events that are kept for late watches.
const maxRendered = 16 << 20

// Rendered returns an event for watches if it is kept, and nil otherwise.
func (m *Mirror) Rendered(e *v2store.Event) *Event { return m.rendered[e.Index] }

// NewEvent renders an event. It takes long if the event is large.
func NewEvent(e *v2store.Event) *Event {
	body := e.Body()
	chunked := make([]byte, 0, len(body)+24)
	chunked = append(strconv.AppendUint(chunked, uint64(len(body)), 16), "\r\n"...)
	start := len(chunked)
	chunked = append(append(chunked, body...), "\r\n0\r\n\r\n"...)
	return &Event{Event: e, Body: chunked[start : start+len(body)], Chunked: chunked}
}

// Keep keeps an event for late watches, and returns it, or the same one that is kept already.
func (m *Mirror) Keep(e *Event) *Event {
	if rendered := m.rendered[e.Index]; rendered != nil {
		return rendered
	}
	if m.renderedBytes += len(e.Chunked); m.renderedBytes > maxRendered {
		m.renderedBytes = len(e.Chunked)
		clear(m.rendered)
	}
	m.rendered[e.Index] = e
	return e
}

// RenderedBytes returns the bytes of the events that are kept.
func (m *Mirror) RenderedBytes() int { return m.renderedBytes }
