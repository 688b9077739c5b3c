package rpc

import (
	"context"
	"errors"

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
	c.mu.Unlock()
	if token == "" || renew {
		answer, err := pb.NewAuthClient(conn).Authenticate(ctx, &pb.AuthenticateRequest{Name: c.user, Password: c.password})
		switch {
		case err == nil:
			token = answer.Token
		case rpctypes.ErrorDesc(err) == rpctypes.ErrorDesc(rpctypes.ErrGRPCAuthNotEnabled):
			// The user may be configured before authentication is enabled. Until then etcd needs no token.
			return ctx, nil
		default:
			return nil, &authError{err}
		}
		c.mu.Lock()
		if c.conn == conn {
			c.token = token
		}
		c.mu.Unlock()
	}
	return metadata.AppendToOutgoingContext(ctx, rpctypes.TokenFieldNameGRPC, token), nil
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
