package cluster

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"etcd-tlsproxy/proxy/proxytest"
)

func TestAPasswordIsNotSentInPlaintextToAnotherMachine(t *testing.T) {
	sent := ""
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		user, _, _ := r.BasicAuth()
		sent += r.URL.Scheme + "://" + r.URL.Hostname() + " " + user + "; "
		return nil, os.ErrDeadlineExceeded
	})
	p := &QuorumProbe{http.Client{Transport: transport}, "root", "secret"}
	for _, url := range []string{"http://conf1001.example.org:2379", "https://conf1001.example.org:4001", "http://127.0.0.1:2379"} {
		_, _ = p.get(context.Background(), url, "/v2/keys/")
	}
	if want := "http://conf1001.example.org ; https://conf1001.example.org root; http://127.0.0.1 root; "; sent != want {
		t.Errorf("users in requests: got %q, want %q", sent, want)
	}
}

// TestAnAlarmIsNoLossOfTheQuorum asks an etcd without the v2 API whose health is bad because its store is full.
func TestAnAlarmIsNoLossOfTheQuorum(t *testing.T) {
	for _, release := range proxytest.Releases() {
		if release.HasV2() {
			continue
		}
		t.Run(release.Name, func(t *testing.T) {
			t.Parallel()
			c, err := release.Cluster(t.TempDir(), 2)
			t.Cleanup(c.Close)
			if err != nil {
				t.Fatal(err)
			}
			at, err := grpc.NewClient(strings.TrimPrefix(c.Members[0].URL(), "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer at.Close()
			alarm := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_NOSPACE}
			if _, err := pb.NewMaintenanceClient(at).Alarm(t.Context(), alarm); err != nil {
				t.Fatal(err)
			}
			p, err := NewQuorumProbe(&Connection{Timeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if has, err := p.Ask(t.Context(), c.Members[0].URL()); !has || err != nil {
				t.Errorf("with an alarm: got %t, %v; want that there is a quorum", has, err)
			}
			c.Members[1].Close()
			if has, err := p.Ask(t.Context(), c.Members[0].URL()); has || err != nil && !errors.Is(err, ErrNoAnswer) {
				t.Errorf("with one of two members: got %t, %v; want that there is no quorum", has, err)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
