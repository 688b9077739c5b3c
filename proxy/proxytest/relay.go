package proxytest

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// Relay forwards the calls of the v3 API to a member, and can hold up or lose some of their messages.
// A message that was held up reaches the member even if its call has ended meanwhile.
type Relay struct {
	ln     net.Listener
	server *grpc.Server
	member *grpc.ClientConn
	ctx    context.Context
	cancel context.CancelFunc
	// running are the goroutines that read requests.
	running sync.WaitGroup

	mu   sync.Mutex
	hook Hook
}

// Hook sees the messages of a call before they are passed on. It may block for as long as the context
// lasts, which is that of the relay. An error ends the call. The direction is [ToEtcd] or [FromEtcd].
type Hook func(ctx context.Context, method string, direction int, message []byte) error

// NewRelay returns a relay to the address of a member.
func NewRelay(to string) (*Relay, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	member, err := grpc.NewClient("passthrough:///"+to, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(verbatim{}), grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	r := &Relay{ln: ln, member: member}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.server = grpc.NewServer(grpc.ForceServerCodec(verbatim{}), grpc.UnknownServiceHandler(r.carry), grpc.MaxRecvMsgSize(64<<20))
	go func() { _ = r.server.Serve(ln) }()
	return r, nil
}

// Addr returns the address of the near end.
func (r *Relay) Addr() string { return r.ln.Addr().String() }

// Set sets the hook for all messages that come from now on; nil is none.
func (r *Relay) Set(h Hook) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hook = h
}

// Close ends all calls.
func (r *Relay) Close() {
	r.cancel()
	r.server.Stop()
	_ = r.member.Close()
	r.running.Wait()
}

func (r *Relay) show(method string, direction int, message []byte) error {
	r.mu.Lock()
	h := r.hook
	r.mu.Unlock()
	if h == nil {
		return nil
	}
	return h(r.ctx, method, direction, message)
}

// carry forwards one call.
func (r *Relay) carry(_ any, near grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(near)
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	far, err := r.member.NewStream(outgoing(ctx, near.Context()), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	r.running.Go(func() { r.ask(cancel, method, near, far) })
	for {
		var message []byte
		err := far.RecvMsg(&message)
		if err == nil {
			err = r.show(method, FromEtcd, message)
		}
		if err == nil {
			err = near.SendMsg(&message)
		}
		switch {
		case context.Cause(ctx) != nil:
			return context.Cause(ctx)
		case err == io.EOF: //nolint:errorlint // gRPC documents that it is not wrapped
			return nil
		case err != nil:
			return err
		}
	}
}

// ask forwards the messages of the client. A call with one message goes on even if the client gives it up.
func (r *Relay) ask(cancel context.CancelCauseFunc, method string, near grpc.ServerStream, far grpc.ClientStream) {
	for {
		var message []byte
		err := near.RecvMsg(&message)
		if err == nil {
			err = r.show(method, ToEtcd, message)
		}
		if err == nil {
			err = far.SendMsg(&message)
		}
		switch {
		case err != nil:
			cancel(err)
			return
		case !streams[method]:
			_ = far.CloseSend()
			return
		}
	}
}

// streams are the calls whose clients send more than one message.
var streams = map[string]bool{"/etcdserverpb.Watch/Watch": true, "/etcdserverpb.Lease/LeaseKeepAlive": true}

// outgoing has the metadata of a call that came in.
func outgoing(ctx, incoming context.Context) context.Context {
	fields, _ := metadata.FromIncomingContext(incoming)
	return metadata.NewOutgoingContext(ctx, fields)
}

// verbatim passes messages on as they are.
type verbatim struct{}

func (verbatim) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (verbatim) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}

func (verbatim) Name() string { return "proto" }
