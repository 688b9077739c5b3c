package proxytest

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

func put(t *testing.T, url, key, value string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, url+"/v2/keys"+key, strings.NewReader("value="+value))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("writing %s: got status %s, want 200 or 201", key, resp.Status)
	}
}

func has(t *testing.T, url, key, want string) {
	t.Helper()
	if value, ok, err := Value(url, key); err != nil || !ok || value != want {
		t.Errorf("reading %s: got %q, %v, %v, want %q", key, value, ok, err, want)
	}
}

// watch starts a watch and reports when it has ended.
func watch(t *testing.T, url string) <-chan struct{} {
	t.Helper()
	resp, err := http.Get(url + "/v2/keys/w?wait=true")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_, _ = resp.Body.Read(make([]byte, 1))
		resp.Body.Close()
		close(ended)
	}()
	return ended
}

func TestTheEmbeddedEtcdKeepsItsDataAndEndsItsWatches(t *testing.T) {
	dir := t.TempDir()
	for i := range 2 {
		etcd, err := StartEmbedded(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			put(t, etcd.URL(), "/a", "1")
		}
		has(t, etcd.URL(), "/a", "1")
		ended := watch(t, etcd.URL())
		etcd.Close()
		<-ended
	}
}

func TestTheInstalledEtcdSurvivesAKill(t *testing.T) {
	path, version, ok := FindEtcd()
	if !ok {
		t.Skip("no etcd 3.4 or 3.5 is installed")
	}
	etcd, err := StartProcess(path, Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	t.Log(version)
	put(t, etcd.URL(), "/a", "1")
	before, err := Dump(etcd.URL())
	if err != nil {
		t.Fatal(err)
	}
	ended := watch(t, etcd.URL())
	etcd.Signal(syscall.SIGSTOP)
	etcd.Kill()
	<-ended
	if err := etcd.Start(); err != nil {
		t.Fatal(err)
	}
	has(t, etcd.URL(), "/a", "1")
	put(t, etcd.URL(), "/b", "2")
	if after, err := Dump(etcd.URL()); err != nil || after == before {
		t.Errorf("dumping after a write: got error %v or an equal dump, want a different one", err)
	}
}

func TestALinkCanBeCutAndMended(t *testing.T) {
	etcd, err := StartEmbedded(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	ended := watch(t, etcd.URL())
	etcd.Cut()
	<-ended
	if _, _, err := Value(etcd.URL(), "/a"); err == nil {
		t.Error("a request over a cut link: got an answer, want an error")
	}
	etcd.Mend()
	put(t, etcd.URL(), "/a", "1")
}

func TestALinkCanBeHeldUp(t *testing.T) {
	etcd, err := StartEmbedded(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	etcd.Pause()
	said := make(chan bool, 1)
	go func() {
		resp, err := http.Get(etcd.URL() + "/version")
		if err == nil {
			resp.Body.Close()
		}
		said <- err == nil
	}()
	select {
	case <-said:
		t.Error("a request over a paused link: got an answer, want none before Resume")
	case <-time.After(200 * time.Millisecond): // nothing signals that no answer arrives
	}
	etcd.Resume()
	if !<-said {
		t.Error("a request after Resume: got no answer, want one")
	}
}
