package share

import (
	"context"
	"testing"
)

// nothing is a notifier that no watcher waits for.
type nothing struct{}

func (nothing) Notify()      {}
func (nothing) AfterNotify() {}
func (nothing) BreakOff()    {}

func TestTheLargestHubsAreTold(t *testing.T) {
	ws := newWatches(t, newEtcd(t).URL())
	for key, watchers := range map[string]int{"/a": 1, "/b": 3, "/c": 2} {
		for range watchers {
			w, _, err := ws.Join(context.Background(), Watch{Path: "/v2/keys" + key, Key: key}, nothing{})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
		}
	}
	list := ws.TopHubs(2)
	if len(list) != 2 || list[0].Key != "/b" || list[0].Watchers != 3 || list[1].Key != "/c" || list[0].Index == 0 || list[0].Recursive {
		t.Errorf("the 2 largest hubs: got %+v, want /b with 3 watchers and /c", list)
	}
}
