package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"etcd-tlsproxy/proxy/proxytest/exact"
	"etcd-tlsproxy/proxy/v2store"
)

// streamer is a client that has events streamed to it. When its proxy breaks the stream off, it goes to
// the next one, and misses what happens meanwhile.
type streamer struct {
	*round
	http    *http.Client
	at      int // the proxy
	streams []exact.Watcher
	// ending is closed when there is an end, the index up to which it watches.
	ending chan struct{}
	end    uint64
}

func (r *round) newStreamer(at int) *streamer {
	return &streamer{round: r, http: newHTTPClient(), at: at, ending: make(chan struct{})}
}

// run watches until it has received the event of the end.
func (s *streamer) run() {
	defer s.http.CloseIdleConnections()
	for ; s.Context().Err() == nil; s.at = (s.at + 1) % machines {
		reached := s.follow()
		select {
		case <-s.ending:
			if reached >= s.end {
				return
			}
		default:
		}
		pause(s.Context(), 5*time.Millisecond)
	}
}

// follow receives one stream, and returns the index that it has reached.
func (s *streamer) follow() (reached uint64) {
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url(s.at)+"/v2/keys"+s.directory+"?wait=true&recursive=true&stream=true", nil)
	if err != nil {
		s.finding("asking for a stream: %v", err)
		return 0
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	reached, err = strconv.ParseUint(resp.Header.Get("X-Etcd-Index"), 10, 64)
	if err != nil || resp.StatusCode != http.StatusOK {
		return 0 // the proxy cannot serve
	}
	w := exact.Watcher{Name: fmt.Sprintf("a stream of proxy %d", s.at), After: reached, To: reached}
	defer func() { s.streams = append(s.streams, w) }()
	for text := json.NewDecoder(resp.Body); !s.over(reached); {
		e := new(v2store.Event)
		if err := text.Decode(e); err != nil || e.Node == nil {
			return reached
		}
		w.Events = append(w.Events, exact.Seen{Event: e, At: time.Now(), Proxy: s.at})
		reached = max(reached, e.Node.ModifiedIndex)
		w.To = reached
	}
	return reached
}

// over reports whether an index is at the end.
func (s *streamer) over(index uint64) bool {
	select {
	case <-s.ending:
		return index >= s.end
	default:
		return false
	}
}
