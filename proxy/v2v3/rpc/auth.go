package rpc

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

const authenticateMethod = "/etcdserverpb.Auth/Authenticate"

// authenticate adds a token to a call if there is a user, and gets a new one if etcd does not
// accept it. Etcd checks the token before anything else.
func (c *Client) authenticate(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if c.user == "" || method == authenticateMethod {
		return invoke(ctx, method, request, reply, conn, options...)
	}
	for again := false; ; again = true {
		authentic, err := c.withToken(ctx, conn, again)
		if err != nil {
			return err
		}
		err = invoke(authentic, method, request, reply, conn, options...)
		if again || !tokenRefused(err) {
			return err
		}
	}
}

// withToken adds a token, perhaps a new one.
func (c *Client) withToken(ctx context.Context, conn *grpc.ClientConn, renew bool) (context.Context, error) {
	if c.user == "" {
		return ctx, nil
	}
	c.mu.Lock()
	token := c.token
	if c.conn != conn {
		token = "" // of another member
	}
	if token == "" || renew {
		l := c.logIn(conn)
		c.mu.Unlock()
		select {
		case <-l.done:
		case <-ctx.Done():
			return nil, &authError{ctx.Err()}
		}
		if l.err != nil {
			return nil, &authError{l.err}
		}
		token = l.token
	} else {
		c.mu.Unlock()
	}
	if token == "" {
		return ctx, nil
	}
	return metadata.AppendToOutgoingContext(ctx, rpctypes.TokenFieldNameGRPC, token), nil
}

const (
	// loginTimeout bounds a login. It does not end with the call that began it, because etcd computes
	// the hash of the password in any case, and others wait for the token.
	loginTimeout = 10 * time.Second
	// loginPause is how long a failure stands for all calls. A hash keeps a core of etcd busy for
	// 50 ms, and a proxy with a wrong password has several tasks that try again.
	loginPause = time.Second
)

// login is an attempt to get a token at a connection.
type login struct {
	conn *grpc.ClientConn
	done chan struct{}
	// The others are set before done is closed. The token is "" if etcd needs none.
	token string
	err   error
	ended time.Time
}

// stands reports whether a further call need not log in itself.
func (l *login) stands(conn *grpc.ClientConn) bool {
	if l == nil || l.conn != conn {
		return false
	}
	select {
	case <-l.done:
		return l.err != nil && time.Since(l.ended) < loginPause
	default:
		return true
	}
}

// logIn returns a login at a connection that is under way or has just failed, or begins one. The caller
// holds the lock.
func (c *Client) logIn(conn *grpc.ClientConn) *login {
	if c.login.stands(conn) {
		return c.login
	}
	l := &login{conn: conn, done: make(chan struct{})}
	if c.conn == conn {
		c.login = l
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), loginTimeout)
		defer cancel()
		answer, err := pb.NewAuthClient(conn).Authenticate(ctx, &pb.AuthenticateRequest{Name: c.user, Password: c.password})
		switch {
		case err == nil:
			l.token = answer.Token
		case rpctypes.ErrorDesc(err) == rpctypes.ErrorDesc(rpctypes.ErrGRPCAuthNotEnabled):
			// The user may be configured before authentication is enabled. Until then etcd needs no token.
		default:
			l.err = err
		}
		l.ended = time.Now()
		c.mu.Lock()
		if c.conn == conn && l.token != "" {
			c.token = l.token
		}
		c.mu.Unlock()
		close(l.done)
	}()
	return l
}

// authError is the failure to get a token. The call itself was not sent.
type authError struct{ error }

func (e *authError) Error() string { return "authenticating at etcd: " + e.error.Error() }

func (e *authError) Unwrap() error { return e.error }

func tokenRefused(err error) bool {
	switch rpctypes.ErrorDesc(err) {
	case rpctypes.ErrorDesc(rpctypes.ErrGRPCInvalidAuthToken), rpctypes.ErrorDesc(rpctypes.ErrGRPCAuthOldRevision),
		rpctypes.ErrorDesc(rpctypes.ErrGRPCUserEmpty):
		return err != nil
	}
	return false
}

// Refused reports whether an error says that a call was not executed and never will be.
func Refused(err error) bool {
	if _, ok := errors.AsType[*authError](err); ok {
		return true
	}
	return refusedCode(err)
}
