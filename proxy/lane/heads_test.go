package lane

import (
	"net/http"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/v2store"
)

func TestTheHeadOfAStoredAnswerHasTheFieldsOfEtcd(t *testing.T) {
	var h heads
	var text []byte
	c := v2store.Cluster{ID: 0xcdf818194e3a8c32, RaftIndex: 12345678901, RaftTerm: 4321}
	for failed, want := range map[bool]map[string]string{
		false: {"Content-Type": "application/json", "X-Etcd-Cluster-Id": "cdf818194e3a8c32", "X-Etcd-Index": "9876543210", "X-Raft-Index": "12345678901", "X-Raft-Term": "4321"},
		true:  {"Content-Type": "application/json", "X-Etcd-Cluster-Id": "cdf818194e3a8c32", "X-Etcd-Index": "9876543210"},
	} {
		fields := h.fields(nil, &text, &v2store.Answer{Index: 9876543210, Failed: failed}, c)
		if len(fields) != len(want)+1 {
			t.Errorf("failed %t: got the fields %v, want %v and the date", failed, fields, want)
		}
		for _, f := range fields {
			if f.Name == "Date" {
				if at, err := http.ParseTime(f.Value); err != nil || time.Since(at) < 0 || time.Since(at) > time.Hour {
					t.Errorf("got the date %q and the error %v, want the time of now", f.Value, err)
				}
			} else if want[f.Name] != f.Value {
				t.Errorf("failed %t: got %s: %s, want %q", failed, f.Name, f.Value, want[f.Name])
			}
		}
	}
}

func TestWhatIsKeptOfAStoredAnswerForTheNextHoldsNothingOfIt(t *testing.T) {
	s := &stored{large: &v2store.Large{}, text: []byte("text")}
	s.fields[0] = http1.Field{Name: "X-Etcd-Index", Value: "7"}
	s.free()
	if s.large != nil || s.fields[0] != (http1.Field{}) {
		t.Errorf("got the tree %v and the field %v, want none", s.large, s.fields[0])
	}
}
