package faults

import (
	"fmt"
	"syscall"

	"etcd-tlsproxy/proxy/proxytest/exact"
	"etcd-tlsproxy/proxy/v2store"
)

// kind is a kind of fault.
type kind struct {
	name string
	// cuts means that it needs machines with namespaces.
	cuts bool
	// forgets means that etcd forgets events which a proxy has not seen: a watcher may have to read again.
	forgets bool
	// inject lets it happen, and ends it. Clients work meanwhile.
	inject func(*round)
}

var kinds = []kind{
	{name: "member killed", inject: (*round).killMember},
	{name: "member paused", inject: (*round).pauseMember},
	{name: "follower apart from the other members", cuts: true, inject: (*round).cutFollower},
	{name: "follower and its proxy apart", cuts: true, inject: (*round).cutMachine},
	{name: "leader and its proxy apart", cuts: true, inject: (*round).cutLeader},
	{name: "leader moved", inject: (*round).moveLeaderOnce},
	{name: "compaction under watchers", forgets: true, inject: (*round).compactOften},
	{name: "proxy killed", inject: (*round).killProxy},
	{name: "keeper killed in mid-sweep", inject: (*round).killKeeper},
	{name: "keeper's clock jumps by an hour", inject: (*round).jumpClock},
	{name: "mirror rebuilt under writes", cuts: true, forgets: true, inject: (*round).rebuildMirror},
	{name: "member replaced", inject: (*round).replaceMember},
}

// must fails the test if a step of a fault fails.
func (r *round) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatalf("%s: %v", r.kind.name, err)
	}
}

func (r *round) anyMember() *member { return r.members[r.random.IntN(machines)] }

// theLeader returns the leader, once there is one.
func (r *round) theLeader() (leader *member) {
	r.Helper()
	r.eventually("there is a leader", func() bool {
		var err error
		leader, err = r.leader()
		return err == nil
	})
	return leader
}

// follower returns a member that does not lead.
func (r *round) follower() *member {
	r.Helper()
	return r.members[others(r.theLeader().number)[r.random.IntN(machines-1)]]
}

func (r *round) killMember() {
	m := r.anyMember()
	m.kill()
	r.progress(10, everyone...)
	r.must(m.launch(r.members, "existing"))
	r.eventually("the member serves", m.serves)
}

func (r *round) pauseMember() {
	m := r.anyMember()
	m.Signal(syscall.SIGSTOP)
	r.progress(10, everyone...)
	m.Signal(syscall.SIGCONT)
	r.eventually("the member serves", m.serves)
}

// cutFollower lets a member go on that hears nothing of the others. Proxies reach all members.
func (r *round) cutFollower() {
	m := r.follower()
	r.must(m.cut(peers))
	r.progress(10, everyone...)
	r.must(m.mend(peers))
	r.eventually("the member serves", m.serves)
}

func (r *round) cutMachine() { r.cutOff(r.follower()) }

func (r *round) cutLeader() { r.cutOff(r.theLeader()) }

// cutOff lets a member and its proxy hear nothing of the others. Clients reach all proxies.
func (r *round) cutOff(m *member) {
	r.must(m.cut(peers, stores))
	r.progress(10, others(m.number)...)
	r.attempts(2, m.number)
	r.must(m.mend(peers, stores))
	r.eventually("the member serves", m.serves)
}

func (r *round) moveLeaderOnce() {
	r.eventually("the leader is moved", func() bool { return r.moveLeader() == nil })
	r.progress(10, everyone...)
}

func (r *round) compactOften() {
	for range 5 {
		r.eventually("etcd forgets revisions", func() bool { return r.compact() == nil })
		r.progress(2, everyone...)
	}
}

// killProxy kills a proxy that does not expire nodes.
func (r *round) killProxy() {
	p := r.proxies[r.random.IntN(machines)]
	if p == r.keeper() {
		p = r.proxies[(p.number+1)%machines]
	}
	r.restartProxy(p)
}

func (r *round) restartProxy(p *proxy) {
	p.kill()
	r.must(p.launch(r.members))
	r.progress(5, everyone...)
}

// theKeeper returns the proxy that expires nodes, once there is one.
func (r *round) theKeeper() (p *proxy) {
	r.Helper()
	r.eventually("there is a keeper", func() bool {
		p = r.keeper()
		return p != nil
	})
	return p
}

// sweep is the number of nodes that expire at the same time.
const sweep = 100

// killKeeper kills the keeper while it expires many nodes. Each must expire once.
func (r *round) killKeeper() {
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	keeper := r.theKeeper()
	for n := range sweep {
		o := &exact.Op{Request: exact.Request{Action: v2store.Set, Key: r.key("swept/%d", n), Value: fmt.Sprint("swept-", n)}, Client: 1000, Proxy: n % machines}
		r.do(client, o, 1)
	}
	r.eventually("nodes expire", func() bool { return r.expired() > 0 })
	keeper.kill()
	r.must(keeper.launch(r.members))
	r.eventually("all nodes have expired", func() bool { return r.expired() >= r.mortal() })
}

// mortal returns how many of the nodes of the sweep were made.
func (r *round) mortal() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.history.Ops {
		o := &r.history.Ops[i]
		if o.Client == 1000 && (o.Outcome == exact.Executed || o.Outcome == exact.Answered && o.Code == 0) {
			n++
		}
	}
	return n
}

// expired returns how many nodes of the sweep the first watcher has seen expire.
func (r *round) expired() (n int) {
	w := r.watchers[0]
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Action == v2store.Expire && e.PrevNode != nil && e.PrevNode.Value != nil && len(*e.PrevNode.Value) > 6 && (*e.PrevNode.Value)[:6] == "swept-" {
			n++
		}
	}
	return n
}

// jumpClock sets the clock of the keeper forward by an hour. The nodes that have half an hour left must
// stay. Then it is set back.
func (r *round) jumpClock() {
	keeper := r.theKeeper()
	keeper.Signal(syscall.SIGUSR1)
	r.eventually("another proxy expires nodes", func() bool {
		p := r.keeper()
		return p != nil && p != keeper
	})
	r.progress(10, everyone...)
	keeper.Signal(syscall.SIGUSR2)
	r.progress(5, everyone...)
}

// rebuildMirror makes etcd forget revisions that a proxy has not seen, so that it has to load the tree again.
func (r *round) rebuildMirror() {
	m := r.follower()
	p := r.proxies[m.number]
	before, followed := p.logged(loadedAgain), p.logged(notFollowed)
	r.must(m.cut(peers, stores))
	r.eventually("the proxy has no events any more", func() bool { return p.logged(notFollowed) > followed })
	r.progress(10, others(m.number)...)
	r.eventually("etcd forgets revisions", func() bool { return r.compact() == nil })
	r.progress(10, others(m.number)...)
	r.must(m.mend(peers, stores))
	r.eventually("the tree is loaded again", func() bool { return p.logged(loadedAgain) > before })
}

// These are in the log of a proxy that has lost its member, and of one that has given its tree up.
const (
	notFollowed = "the events of etcd are not followed any more"
	loadedAgain = "the tree in memory is given up and loaded again"
)

func (r *round) replaceMember() {
	m := r.anyMember()
	r.must(r.replace(m))
	r.progress(10, everyone...)
	r.eventually("the new member serves", m.serves)
}
