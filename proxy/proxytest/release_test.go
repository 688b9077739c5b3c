package proxytest

import (
	"context"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// TestEachReleaseServesV3AndSurvivesItsLeader checks what the tests of the v3 store rely on.
func TestEachReleaseServesV3AndSurvivesItsLeader(t *testing.T) {
	for _, r := range Releases() {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			c, err := r.Cluster(t.TempDir(), 3)
			t.Cleanup(c.Close)
			if err != nil {
				t.Fatal(err)
			}
			leader, err := c.Leader()
			if err != nil {
				t.Fatal(err)
			}
			leader.Close()
			follower := c.Members[0]
			if follower == leader {
				follower = c.Members[1]
			}
			connection, err := grpc.NewClient(follower.URL()[len("http://"):], grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			kv := etcdserverpb.NewKVClient(connection)
			// A follower sends writes to the old leader until it notices, and they are lost.
			for began := time.Now(); ; {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				_, err := kv.Put(ctx, &etcdserverpb.PutRequest{Key: []byte("/a"), Value: []byte("1")})
				cancel()
				if err == nil {
					break
				}
				if time.Since(began) > 30*time.Second {
					t.Fatalf("writing after the leader was killed: %v", err)
				}
			}
			if err := leader.Start(); err != nil {
				t.Errorf("starting the old leader: %v", err)
			}
		})
	}
}
