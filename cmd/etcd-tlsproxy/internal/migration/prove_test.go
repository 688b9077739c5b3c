package migration

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2store"
)

// TestTheProofFindsEachDifference changes the copy in each way in which it can be wrong.
func TestTheProofFindsEachDifference(t *testing.T) {
	t.Parallel()
	f := start(t, proxytest.Options{})
	for _, key := range []string{"value", "created", "modified", "expires", "gone", "_hidden/gone", "file", "broken", "a/b"} {
		f.write("/"+key, value("secret"))
	}
	f.write("/dir", url.Values{"dir": {"true"}, "ttl": {"1000"}})
	c := f.take()
	result, err := f.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if result.Imports.Count != 0 || result.Nodes != 12 || result.Hidden != 2 || result.Expiring != 1 || result.Stored < 600 || result.Stored > 1200 {
		t.Fatalf("got %+v with %+v, want 12 nodes and no difference", result, c)
	}
	index := func(key string) uint64 {
		for _, r := range c.records {
			if r.Key == key {
				return r.Modified
			}
		}
		return 0
	}
	record := func(created, modified, expires uint64) string {
		text := fmt.Sprintf(`{"c":%d,"e":%d,"m":%d}`, created, expires, modified)
		return strings.Replace(text, `"e":0,`, "", 1)
	}
	for _, change := range []struct{ want, key, value string }{
		{"/value has another value", "rehearsal/value", "other"},
		{fmt.Sprintf("/created has the createdIndex 1, want %d", index("/created")), "rehearsal.v2/f/created", record(1, index("/created"), 0)},
		{fmt.Sprintf("/modified has the modifiedIndex 1, want %d", index("/modified")), "rehearsal.v2/f/modified", record(index("/modified"), 1, 0)},
		{"/expires expires 1970-01-01T00:00:05Z, want never", "rehearsal.v2/f/expires", record(index("/expires"), index("/expires"), 5_000_000_000)},
		{"/gone is missing", "rehearsal/gone", ""},
		{"/gone is missing", "rehearsal.v2/f/gone", ""},
		{"/_hidden/gone is missing", "rehearsal/_hidden/gone", ""},
		{"/_hidden/gone is missing", "rehearsal.v2/f/_hidden/gone", ""},
		{"/broken is missing", "rehearsal/broken", ""},
		{"/more is there, and must not be", "rehearsal.v2/d/more", record(1, 1, 0)},
		{"/foreign is a key of another program", "rehearsal/foreign", "x"},
	} {
		if change.value == "" {
			f.put(change.key)
		} else {
			f.put(change.key, change.value)
		}
		var got Result
		if err := f.prove(t.Context(), c, &got); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(got.Imports.First, func(d Difference) bool { return d.Key+" "+d.What == change.want }) {
			t.Errorf("after a change of %s: got the differences %+v, want %q", change.key, got.Imports, change.want)
		}
	}
}

func TestKindsAreCompared(t *testing.T) {
	t.Parallel()
	file, dir := v2store.Record{Key: "/a"}, v2store.Record{Key: "/a", Dir: true}
	if got := differs(&file, &dir); got != "is a directory, want a file" {
		t.Errorf("got %q of a directory", got)
	}
	if got := differs(&dir, &file); got != "is a file, want a directory" {
		t.Errorf("got %q of a file", got)
	}
}

func TestOnlyTheFirstDifferencesAreListed(t *testing.T) {
	t.Parallel()
	var want []v2store.Record
	for i := range maxListed + 5 {
		want = append(want, v2store.Record{Key: fmt.Sprint("/", i)})
	}
	d := compare(want, slices.Values[[]v2store.Record](nil))
	if d.Count != maxListed+5 || len(d.First) != maxListed {
		t.Errorf("got %d differences and %d of them listed, want %d and %d", d.Count, len(d.First), maxListed+5, maxListed)
	}
}

// TestBytesThatAreNotTextAreMoved has a value that etcd answers with replacement characters.
func TestBytesThatAreNotTextAreMoved(t *testing.T) {
	t.Parallel()
	f := start(t, proxytest.Options{})
	f.write("/bytes", value("a\xff\xfeb"))
	c := f.take()
	if got := c.records[0].Value; got != "a\xff\xfeb" {
		t.Errorf("got the value %q, want it unchanged", got)
	}
	if result, err := f.Run(t.Context(), c); err != nil || result.Imports.Count > 0 {
		t.Errorf("got %+v and the error %v, want an equal copy", result, err)
	}
}

// TestTheMemberGoesOnMeanwhile writes all the time, to a member that writes many snapshots.
func TestTheMemberGoesOnMeanwhile(t *testing.T) {
	t.Parallel()
	f := start(t, proxytest.Options{SnapshotCount: 50})
	for i := range 300 {
		f.write(fmt.Sprint("/key", i), value("1"))
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				f.write(fmt.Sprint("/key", i%300), value(fmt.Sprint(i)))
			}
		}
	}()
	var moved uint64
	for range 5 {
		result, err := f.Run(t.Context(), f.take())
		if err != nil {
			t.Error(err)
			break
		}
		if result.Imports.Count > 0 {
			t.Errorf("the copy differs: %+v", result.Imports)
		}
		moved += result.Behind
	}
	close(stop)
	<-stopped
	if moved == 0 {
		t.Error("the index of the member did not grow meanwhile, want that it did")
	}
}
