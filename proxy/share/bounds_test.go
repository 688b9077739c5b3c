package share

import (
	"testing"
	"time"
)

func TestTheDefaultsOfWatches(t *testing.T) {
	ws := NewWatches(WatchOptions{})
	for name, c := range map[string]struct{ got, want time.Duration }{
		"how long a hub without users is kept":                    {ws.linger, 10 * time.Second},
		"how long an event of the history is waited for":          {ws.pastPatience, 50 * time.Millisecond},
		"how long a large event of the history is waited for":     {ws.longPatience, 500 * time.Millisecond},
		"how long a watch waits until others have given back":     {ws.weightPatience, 2 * time.Second},
		"how long an event waits until its room is given back":    {ws.texts.patience, 2 * time.Second},
		"how long a hub of other options is kept without a user":  {NewWatches(WatchOptions{Linger: time.Minute}).linger, time.Minute},
		"how long a hub is kept if the time that is set is wrong": {NewWatches(WatchOptions{Linger: -1}).linger, 10 * time.Second},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v, want %v", name, c.got, c.want)
		}
	}
	if _, limit := ws.Memory(); limit != 64<<20 {
		t.Errorf("the memory of all events: got %d bytes, want 64 MiB", limit)
	}
	if _, limit := NewWatches(WatchOptions{Memory: 1}).Memory(); limit != 1 {
		t.Errorf("the memory of all events with a limit of one byte: got %d bytes", limit)
	}
	ws.count.ObserveDelivery(0) // without counters nothing is observed
}

func TestTheBoundsOfOneHubOneKeyAndOneAnswer(t *testing.T) {
	for name, c := range map[string]struct{ got, want int }{
		"the events of a ring, as many as etcd remembers":        {maxEvents, 1000},
		"the bytes of a ring":                                    {maxRingBytes, 4 << 20},
		"the bytes from which an event that arrives is large":    {largeText, 64 << 10},
		"the large events that arrive at the same time":          {maxLarge, 2},
		"the bytes of a refusal":                                 {maxRefusal, 64 << 10},
		"the watches that one write can concern for nothing":     {maxChain, 8},
		"the hubs of the history of one key that cost nothing":   {maxPastHubs, 4},
		"the hubs that are kept without a user":                  {maxLingering, 256},
		"the flights that a shard keeps for the reads that come": {maxFree, 64},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %d, want %d", name, c.got, c.want)
		}
	}
}
