package proxy_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// attack is one hostile conversation on a connection of its own. Its client is anonymous
// unless it sends credentials.
type attack struct {
	name string
	text string
	// passes is the number of its requests that etcd should receive, because the client
	// has a right to them. It is 0 for most attacks.
	passes int
}

// attacks is a class of attacks and the literature that describes it.
type attacks struct {
	name, source string
	list         []attack
}

func allAttacks() []attacks {
	return []attacks{
		climbingAttacks(), boundaryAttacks(), reservedAttacks(), surfaceAttacks(), upgradeAttacks(), methodAttacks(),
		authorizationAttacks(), lengthAttacks(), codingAttacks(), chunkAttacks(), headAttacks(), pipelineAttacks(),
		forgedFieldAttacks(), parameterAttacks(), sizeAttacks(),
	}
}

// canary is sent behind each attack. If the proxy and etcd disagreed about the end of a
// message, the canary would become a part of another message.
const (
	canaryKey = "/v2/keys/canary"
	canary    = "GET " + canaryKey + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
)

// smuggled is the key of every hidden request. Everyone may write it, so the gate would
// not refuse the request.
const smuggled = "/v2/keys/eventlogging/smuggled"

// attackPatience is how long a proxy under attack waits for the rest of a message.
func attackPatience() time.Duration {
	if proxytest.UnderRaceDetector() {
		return 3 * time.Second
	}
	return time.Second
}

func underAttack(s *lane.Snapshot, _ *proxytest.PKI) {
	s.Limits.HeaderTimeout, s.Limits.BodyTimeout = attackPatience(), attackPatience()
	s.Watches = nil // a shared watch sends requests of its own, which the recorder would count
}

// launch sends an attack and a canary, and returns everything that the proxy sends.
func launch(t *testing.T, f *fronttest.Front, a *attack) string {
	c, err := proxytest.DialRaw(f.Addr, f.TLS())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() { _ = c.Send(a.text + canary) }() // the proxy may close the connection before everything is sent
	answers, _ := io.ReadAll(c.Conn)
	return string(answers)
}

// complain returns what is wrong with the answers to an attack, or an empty string.
func (a *attack) complain(answers string) string {
	passed := strings.Count(answers, "HTTP/1.1 2") + strings.Count(answers, "HTTP/1.0 2")
	switch {
	case strings.Contains(answers, "HTTP/1.1 3"), strings.Contains(answers, "HTTP/1.1 101"):
		return "the client was redirected or upgraded"
	case passed > a.passes+1:
		return fmt.Sprintf("%d requests were carried out, including the canary", passed)
	case strings.Contains(answers, "text/plain") || strings.Contains(answers, "<html"):
		return "a refusal is not etcd's JSON"
	}
	return ""
}

// TestNoAttackGetsPastTheGate sends every attack to a proxy in front of a [recorder].
func TestNoAttackGetsPastTheGate(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		type job struct {
			class *attacks
			*attack
		}
		jobs := make(chan job)
		var workers sync.WaitGroup
		for range 32 {
			r := newRecorder(t)
			f := l.FrontWith(t, r.url, idle(attackPatience()), underAttack)
			workers.Go(func() {
				for j := range jobs {
					r.start(j.text)
					answers := launch(t, f, j.attack)
					wrong := r.stop(j.passes)
					if complaint := j.complain(answers); complaint != "" {
						wrong = append(wrong, complaint)
					}
					for _, w := range wrong {
						t.Errorf("%s: %s: %s\n%.300q\n%.600q", j.class.name, j.name, w, j.text, answers)
					}
				}
			})
		}
		total := 0
		for _, class := range allAttacks() {
			t.Logf("%4d %-50s %s", len(class.list), class.name, class.source)
			total += len(class.list)
			for i := range class.list {
				jobs <- job{&class, &class.list[i]}
			}
		}
		close(jobs)
		workers.Wait()
		if total < 500 {
			t.Errorf("got %d attacks, want at least 500", total)
		}
		t.Logf("%4d attacks", total)
	})
}

// TestNoAttackChangesEtcd sends every attack to a proxy in front of a real etcd, and
// compares the state of etcd before and after. If no request may pass, the whole state is
// compared, else the part that the attackers may not write. An unchanged Raft index shows
// that nothing was written through any API: v2, v3 or membership.
func TestNoAttackChangesEtcd(t *testing.T) {
	t.Parallel()
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, e fronttest.Etcd) {
		next := *f.Server.Snapshot()
		underAttack(&next, nil)
		f.Server.Publish(&next)
		for _, key := range []string{"/conftool/x", "/secret", "/conftool/smuggled"} {
			if status, body, _ := fronttest.Do(t, f.Client("h1"), "PUT", f.URL()+"/v2/keys"+key, "root", "value=1"); status > 201 {
				t.Fatalf("writing %s before the attacks: got %d %s, want 200 or 201", key, status, body)
			}
		}
		for _, class := range allAttacks() {
			whole, foreign := raftIndex(t, e)+dump(t, e), foreignState(t, e)
			launchAll(t, f, class.list, func(a *attack) bool { return a.passes == 0 })
			if after := raftIndex(t, e) + dump(t, e); after != whole {
				t.Errorf("%s: attacks that should be refused changed etcd, from\n%s\nto\n%s", class.name, whole, after)
			}
			launchAll(t, f, class.list, func(a *attack) bool { return a.passes > 0 })
			if after := foreignState(t, e); after != foreign {
				t.Errorf("%s: attacks changed keys that the attackers may not write, from\n%s\nto\n%s", class.name, foreign, after)
			}
		}
	})
}

func launchAll(t *testing.T, f *fronttest.Front, list []attack, chosen func(*attack) bool) {
	var running sync.WaitGroup
	slots := make(chan struct{}, 32)
	for i := range list {
		if a := &list[i]; chosen(a) {
			slots <- struct{}{}
			running.Go(func() {
				defer func() { <-slots }()
				launch(t, f, a)
			})
		}
	}
	running.Wait()
}

// request returns a request. Each of the fields ends with a line end; a body that is not
// empty gets a Content-Length.
func request(method, target, fields, body string) string {
	if body != "" {
		fields += fmt.Sprintf("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", len(body))
	}
	return method + " " + target + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n" + body
}

func by(user string) string { return "Authorization: " + fronttest.Basic(user) + "\r\n" }

// each makes one attack of each text.
func each(texts []string, passes int, compose func(text string) string) []attack {
	var list []attack
	for _, text := range texts {
		list = append(list, attack{fmt.Sprintf("%.60q", text), compose(text), passes})
	}
	return list
}
