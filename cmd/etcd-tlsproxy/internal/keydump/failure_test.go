package keydump

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/acl"
)

// answers returns a client of a server that gives these answers in turn, the last one again and
// again. Each is a status, a blank and a body.
func answers(t *testing.T, texts ...string) client.Client {
	t.Helper()
	turn := make(chan string, len(texts))
	for _, text := range texts[:len(texts)-1] {
		turn <- text
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text := texts[len(texts)-1]
		select {
		case text = <-turn:
		default:
		}
		status, body, _ := strings.Cut(text, " ")
		w.Header().Set("X-Etcd-Index", "7")
		w.Header().Set("X-Etcd-Cluster-Id", "c")
		w.WriteHeader(map[string]int{"200": 200, "404": 404, "412": 412}[status])
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	etcd, err := client.New(client.Config{Endpoints: []string{server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	return etcd
}

const (
	emptyTree = `200 {"action":"get","node":{"key":"/c","dir":true}}`
	garbage   = `200 <html>`
	exists    = `412 {"errorCode":105,"message":"Key already exists","cause":"/c/a","index":7}`
)

func TestAPlanWhoseHiddenKeyCannotBeReadIsNoPlan(t *testing.T) {
	value := "1"
	dump := &Dump{Header: Header{Prefix: "/c"}, Tree: []Entry{{Key: "/c/_hidden", Value: &value}}}
	plan, err := dump.Plan(t.Context(), answers(t, emptyTree, garbage), false, time.Now())
	if err == nil || !strings.Contains(err.Error(), "reading /c/_hidden") || plan != nil {
		t.Errorf("Plan while a hidden key cannot be read: got %+v, %v; want an error that names the key", plan, err)
	}
	// Hidden keys are not in the listing, so the plan would otherwise create what is there.
	plan, err = dump.Plan(t.Context(), answers(t, emptyTree, `200 {"action":"get","node":{"key":"/c/_hidden","value":"2","modifiedIndex":3,"createdIndex":3}}`), false, time.Now())
	if err != nil || len(plan.Steps) != 1 || plan.Steps[0].Action != Conflict {
		t.Errorf("Plan with a hidden key that differs: got %+v, %v; want a conflict", plan, err)
	}
}

func TestAPlanWhoseTreeCannotBeReadIsNoPlan(t *testing.T) {
	dump := &Dump{Header: Header{Prefix: "/c"}}
	if plan, err := dump.Plan(t.Context(), answers(t, garbage), false, time.Now()); err == nil || !strings.Contains(err.Error(), "reading /c") || plan != nil {
		t.Errorf("Plan while the prefix cannot be read: got %+v, %v; want an error that names it", plan, err)
	}
}

// The directory of the cluster expires and stays, so keys can be created in it.
func TestAPlanCreatesKeysInADirectoryThatDiffers(t *testing.T) {
	value := "1"
	dump := &Dump{Header: Header{Prefix: "/c"}, Tree: []Entry{{Key: "/c/a", Dir: true}, {Key: "/c/a/b", Value: &value}, {Key: "/c/k", Dir: true}, {Key: "/c/k/b", Value: &value}}}
	plan, err := dump.Plan(t.Context(), answers(t, `200 {"action":"get","node":{"key":"/c","dir":true,"nodes":[
		{"key":"/c/a","dir":true,"expiration":"2100-01-01T00:00:00Z","ttl":60,"modifiedIndex":3,"createdIndex":3},
		{"key":"/c/k","value":"1","modifiedIndex":4,"createdIndex":4}]}}`), false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Action{Conflict, Create, Conflict, Conflict} {
		if s := plan.Steps[i]; s.Action != want {
			t.Errorf("the step of %s: got %s, %s; want %s", s.Key, s.Action, s.Reason, want)
		}
	}
}

func TestAKeyThatWasRefusedAndCannotBeReadEndsTheLoad(t *testing.T) {
	value := "1"
	load := func(second string) (*Plan, int, error) {
		plan := &Plan{Steps: []Step{{Entry: Entry{Key: acl.Key("/c/a"), Value: &value}, Action: Create}}}
		writes := 0
		loader := &Loader{Client: answers(t, exists, second), OnWrite: func() { writes++ }}
		err := loader.Run(t.Context(), plan)
		return plan, writes, err
	}
	if _, writes, err := load(garbage); err == nil || !strings.Contains(err.Error(), "writing /c/a: reading /c/a") || writes != 0 {
		t.Errorf("Run while a refused key cannot be read: got %d writes and the error %v, want none and an error that names the key", writes, err)
	}
	for second, want := range map[string]Action{
		`200 {"node":{"key":"/c/a","value":"1","modifiedIndex":3,"createdIndex":3}}`: Unchanged,
		`200 {"node":{"key":"/c/a","value":"2","modifiedIndex":3,"createdIndex":3}}`: Conflict,
		`404 {"errorCode":100,"message":"Key not found","cause":"/c/a","index":7}`:   Conflict,
	} {
		if plan, writes, err := load(second); err != nil || plan.Steps[0].Action != want || writes != 1 {
			t.Errorf("Run of a refused key that is now %s: got %+v, %d writes, %v; want the action %s", second, plan.Steps[0], writes, err, want)
		}
	}
}
