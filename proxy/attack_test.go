package proxy

import (
	"crypto/tls"
	"etcd-tlsproxy/proxy/lane"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// attack is one hostile conversation on a connection of its own. It comes from nobody,
// or from whom its credentials name.
type attack struct {
	name string
	text string
	// passes is how many of its requests etcd may see, because the client has a right to
	// them. Of most attacks that is none.
	passes int
}

// attacks is a class of them, and where they are known from.
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

// canary is sent behind each attack. If the proxy and etcd disagreed about where a
// message ends, it would become a part of another.
const (
	canaryKey = "/v2/keys/canary"
	canary    = "GET " + canaryKey + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
)

// smuggled is the key of every request that is hidden in another. Anyone may write it,
// so the gate would not hold it back.
const smuggled = "/v2/keys/eventlogging/smuggled"

// attackPatience of a proxy under attack: it waits for the rest of a message no longer.
func attackPatience() time.Duration {
	if proxytest.UnderRaceDetector() {
		return 3 * time.Second
	}
	return 400 * time.Millisecond
}

func underAttack(s *lane.Snapshot, _ *proxytest.PKI) {
	s.Limits.HeaderTimeout, s.Limits.BodyTimeout = attackPatience(), attackPatience()
	s.Watches = nil // their own requests to etcd are no attack
}

// launch sends an attack and a canary, and returns all that comes back.
func (f *front) launch(a *attack) string {
	c, err := proxytest.DialRaw(f.addr, &tls.Config{RootCAs: f.pki.Pool(), ServerName: "localhost"})
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.Close()
	go func() { _ = c.Send(a.text + canary) }() // it may be refused before it is sent
	answers, _ := io.ReadAll(c.Conn)
	return string(answers)
}

// complain says what is wrong with the answers to an attack.
func (a *attack) complain(answers string) string {
	passed := strings.Count(answers, "HTTP/1.1 2") + strings.Count(answers, "HTTP/1.0 2")
	switch {
	case strings.Contains(answers, "HTTP/1.1 3"), strings.Contains(answers, "HTTP/1.1 101"):
		return "it was led elsewhere"
	case passed > a.passes+1:
		return fmt.Sprintf("%d requests were answered, and the canary is one", passed)
	case strings.Contains(answers, "text/plain") || strings.Contains(answers, "<html"):
		return "a refusal is not etcd's JSON"
	}
	return ""
}

// TestNoAttackGetsPastTheGate sends every attack to a proxy before an upstream that
// reads the proxy's own requests as strictly as can be, and decides by itself what each
// client may ask for.
func TestNoAttackGetsPastTheGate(t *testing.T) {
	type job struct {
		class *attacks
		*attack
	}
	jobs := make(chan job)
	var workers sync.WaitGroup
	for range 32 {
		r := newRecorder(t)
		f := newPreparedFront(t, listen(t), r.url, idle(attackPatience()), underAttack)
		workers.Go(func() {
			for j := range jobs {
				r.begin(j.text)
				answers := f.launch(j.attack)
				wrong := r.end(j.passes)
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
		t.Errorf("there are only %d attacks", total)
	}
	t.Logf("%4d in all", total)
}

// TestNoAttackChangesEtcd sends every attack to a real etcd's proxy, and looks at etcd
// before and after: at all of its state if nothing should have passed, else at all that
// is not everyone's. An index of raft that stands still shows that nothing was written
// anywhere, in v2, v3 or the membership.
func TestNoAttackChangesEtcd(t *testing.T) {
	withEtcd(t, func(t *testing.T, f *front, e etcd) {
		next := *f.server.Snapshot()
		underAttack(&next, nil)
		f.server.Publish(&next)
		for _, key := range []string{"/conftool/x", "/secret", "/conftool/smuggled"} {
			if status, body, _ := do(t, f.client("h1"), "PUT", f.url()+"/v2/keys"+key, "root", "value=1"); status > 201 {
				t.Fatalf("%s: %d %s", key, status, body)
			}
		}
		for _, class := range allAttacks() {
			whole, foreign := raftIndex(t, e)+dump(t, e), foreignState(t, e)
			f.launchAll(class.list, func(a *attack) bool { return a.passes == 0 })
			if after := raftIndex(t, e) + dump(t, e); after != whole {
				t.Errorf("%s: attacks that should be refused changed etcd:\n%s\n%s", class.name, whole, after)
			}
			f.launchAll(class.list, func(a *attack) bool { return a.passes > 0 })
			if after := foreignState(t, e); after != foreign {
				t.Errorf("%s: keys were changed that the attackers have no right to:\n%s\n%s", class.name, foreign, after)
			}
		}
	})
}

func (f *front) launchAll(list []attack, chosen func(*attack) bool) {
	var running sync.WaitGroup
	slots := make(chan struct{}, 32)
	for i := range list {
		if a := &list[i]; chosen(a) {
			slots <- struct{}{}
			running.Go(func() {
				defer func() { <-slots }()
				f.launch(a)
			})
		}
	}
	running.Wait()
}

// request writes one; fields end with a line feed each, body is framed by its length.
func request(method, target, fields, body string) string {
	if body != "" {
		fields += fmt.Sprintf("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", len(body))
	}
	return method + " " + target + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n" + body
}

func by(user string) string { return "Authorization: " + basic(user) + "\r\n" }

// each makes an attack of each text.
func each(texts []string, passes int, make func(text string) string) []attack {
	var list []attack
	for _, text := range texts {
		list = append(list, attack{fmt.Sprintf("%.60q", text), make(text), passes})
	}
	return list
}
