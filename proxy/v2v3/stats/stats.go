// Package stats renders what the v2 API says about a cluster beside its keys and its members,
// from what the v3 API says about it. The forms are those of etcd. What only the process of a
// member knows, such as latencies between members, is zero.
package stats

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"etcd-tlsproxy/proxy/v2v3/members"
)

// Machines returns the body of /v2/machines.
func Machines(list []members.Member) []byte {
	var urls []string
	for i := range list {
		urls = append(urls, list[i].ClientURLs...)
	}
	slices.Sort(urls)
	return []byte(strings.Join(urls, ", "))
}

// Leader returns the body of /v2/stats/leader. The followers are all other members.
func Leader(list []members.Member) []byte {
	var leader string
	followers := make(map[string]follower, len(list))
	for i := range list {
		if id := strconv.FormatUint(list[i].ID, 16); list[i].Leader {
			leader = id
		} else {
			followers[id] = follower{}
		}
	}
	return encode(struct {
		Leader    string              `json:"leader"`
		Followers map[string]follower `json:"followers"`
	}{leader, followers})
}

type follower struct {
	Latency struct {
		Current           float64 `json:"current"`
		Average           float64 `json:"average"`
		StandardDeviation float64 `json:"standardDeviation"`
		Minimum           float64 `json:"minimum"`
		Maximum           float64 `json:"maximum"`
	} `json:"latency"`
	Counts struct {
		Fail    uint64 `json:"fail"`
		Success uint64 `json:"success"`
	} `json:"counts"`
}

// Self returns the body of /v2/stats/self. It describes the member that was asked for the list, which is
// that behind the proxy unless it is down.
func Self(list []members.Member) []byte {
	var self struct {
		Name       string    `json:"name"`
		ID         string    `json:"id"`
		State      string    `json:"state"`
		StartTime  time.Time `json:"startTime"`
		LeaderInfo struct {
			Leader    string    `json:"leader"`
			Uptime    string    `json:"uptime"`
			StartTime time.Time `json:"startTime"`
		} `json:"leaderInfo"`
		RecvAppendRequestCnt uint64 `json:"recvAppendRequestCnt"`
		SendAppendRequestCnt uint64 `json:"sendAppendRequestCnt"`
	}
	for i := range list {
		m := &list[i]
		id := strconv.FormatUint(m.ID, 16)
		if m.Leader {
			self.LeaderInfo.Leader = id
		}
		if m.Answers {
			self.Name, self.ID, self.State = m.Name, id, "StateFollower"
			if m.Leader {
				self.State = "StateLeader"
			}
		}
	}
	self.LeaderInfo.Uptime = "0s"
	return encode(&self)
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: encoding statistics: " + err.Error())
	}
	return b
}
