package rpc

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
)

func TestAFailedLoginStandsForSomeTimeAndASuccessfulOneDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, other := &grpc.ClientConn{}, &grpc.ClientConn{}
		ended := make(chan struct{})
		close(ended)
		failure := errors.New("refused")
		for what, test := range map[string]struct {
			login *login
			after time.Duration
			want  bool
		}{
			"none":                          {nil, 0, false},
			"under way":                     {&login{conn: conn, done: make(chan struct{})}, time.Hour, true},
			"under way at another endpoint": {&login{conn: other, done: make(chan struct{})}, 0, false},
			"one that has just failed":      {&login{conn: conn, done: ended, err: failure}, time.Second - 1, true},
			"one that failed a second ago":  {&login{conn: conn, done: ended, err: failure}, time.Second, false},
			"one that has failed elsewhere": {&login{conn: other, done: ended, err: failure}, 0, false},
			"one that has succeeded":        {&login{conn: conn, done: ended}, 0, false},
		} {
			if test.login != nil {
				test.login.ended = time.Now()
			}
			time.Sleep(test.after) //nolint:forbidigo // of synctest
			if got := test.login.stands(conn); got != test.want {
				t.Errorf("a login, %s: got that it stands %t, want %t", what, got, test.want)
			}
		}
	})
}

// TestOnlyTheLoginAtTheEndpointInUseIsShared has logins at endpoints that do not answer.
func TestOnlyTheLoginAtTheEndpointInUseIsShared(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := newClient(t, "proxy", "p", Endpoint{Addr: silent.Addr().String()})
	old, err := c.dial(c.endpoints[0])
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	first, elsewhere, second := c.logIn(c.conn), c.logIn(old), c.logIn(c.conn)
	c.mu.Unlock()
	if first == elsewhere || first != second {
		t.Errorf("three logins, the second at an old endpoint: got the second shared %t and the third shared %t, want false and true", first == elsewhere, first == second)
	}
	c.Close()
	old.Close()
	<-first.done
	<-elsewhere.done
}
