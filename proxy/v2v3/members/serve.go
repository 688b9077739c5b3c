package members

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/types"

	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Request is a request about members.
type Request struct {
	Method string
	// Path is the decoded path behind /v2/members.
	Path        string
	ContentType string
	Body        []byte
}

// Reply is an answer, without what only the transport knows.
type Reply struct {
	Status int
	// Fields are pairs of name and value.
	Fields [][2]string
	Body   []byte
}

const (
	statusOK, statusCreated, statusNoContent = 200, 201, 204
	statusBadRequest, statusForbidden        = 400, 403
	statusNotFound, statusMethod             = 404, 405
	statusConflict, statusMediaType          = 409, 415
	statusInternal, statusUnavailable        = 500, 503
)

// Serve answers a request. An error means that etcd has not answered. The outcome of a change is
// unknown then.
func Serve(ctx context.Context, client *rpc.Client, r *Request) (Reply, error) {
	if !slices.Contains([]string{"GET", "POST", "DELETE", "PUT"}, r.Method) {
		return NotAllowed("GET,POST,DELETE,PUT"), nil
	}
	l, err := read(ctx, client)
	if err != nil {
		return Reply{}, err
	}
	var reply Reply
	path := strings.TrimPrefix(r.Path, "/")
	switch r.Method {
	case "GET":
		reply, err = get(ctx, client, l, path)
	case "POST":
		reply, err = add(ctx, client, r)
	default:
		reply, err = change(ctx, client, r, path)
	}
	reply.Fields = append(reply.Fields, [2]string{"X-Etcd-Cluster-Id", hex(l.cluster)})
	return reply, err
}

func get(ctx context.Context, client *rpc.Client, l *list, path string) (Reply, error) {
	switch path {
	case "":
		views := []view{}
		for _, m := range l.members {
			views = append(views, m.view())
		}
		return encoded(statusOK, map[string]any{"members": views}), nil
	case "leader":
		answer, err := client.Maintenance().Status(ctx, &pb.StatusRequest{})
		if err != nil {
			return Reply{}, fmt.Errorf("finding the leader: %w", err)
		}
		i := slices.IndexFunc(l.members, func(m Member) bool { return m.ID == answer.Leader })
		if i < 0 {
			return refusal(statusUnavailable, "During election"), nil
		}
		return encoded(statusOK, l.members[i].view()), nil
	}
	return refusal(statusNotFound, "Not found"), nil
}

func add(ctx context.Context, client *rpc.Client, r *Request) (Reply, error) {
	urls, refused := r.peerURLs()
	if refused != nil {
		return *refused, nil
	}
	answer, err := client.Cluster().MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: urls})
	if err != nil {
		return failed(err, "")
	}
	added := Member{ID: answer.Member.ID, Name: answer.Member.Name, PeerURLs: answer.Member.PeerURLs}
	return encoded(statusCreated, added.view()), nil
}

// change removes or updates a member.
func change(ctx context.Context, client *rpc.Client, r *Request, path string) (Reply, error) {
	if path == "" {
		return notAllowed(), nil
	}
	id, err := strconv.ParseUint(path, 16, 64)
	if err != nil {
		return refusal(statusNotFound, "No such member: "+path), nil
	}
	if r.Method == "DELETE" {
		_, err = client.Cluster().MemberRemove(ctx, &pb.MemberRemoveRequest{ID: id})
	} else {
		urls, refused := r.peerURLs()
		if refused != nil {
			return *refused, nil
		}
		_, err = client.Cluster().MemberUpdate(ctx, &pb.MemberUpdateRequest{ID: id, PeerURLs: urls})
	}
	if err != nil {
		return failed(err, hex(id))
	}
	return Reply{Status: statusNoContent}, nil
}

// peerURLs returns the URLs in the body, or the refusal of a body that has none.
func (r *Request) peerURLs() ([]string, *Reply) {
	kind, _, parameters := strings.Cut(r.ContentType, ";")
	if parameters {
		kind = strings.TrimSpace(strings.ToLower(kind))
	}
	if kind != "application/json" {
		refused := refusal(statusMediaType, "Bad Content-Type "+kind+", accept application/json")
		return nil, &refused
	}
	var body struct {
		PeerURLs []string `json:"peerURLs"`
	}
	err := json.Unmarshal(r.Body, &body)
	var urls types.URLs
	if err == nil {
		urls, err = types.NewURLs(body.PeerURLs)
	}
	if err != nil {
		refused := refusal(statusBadRequest, err.Error())
		return nil, &refused
	}
	return urls.StringSlice(), nil
}

// failed returns the reply to an error of etcd.
func failed(err error, id string) (Reply, error) {
	is := func(known error) bool { return rpctypes.ErrorDesc(err) == rpctypes.ErrorDesc(known) }
	switch {
	case is(rpctypes.ErrGRPCPeerURLExist):
		return refusal(statusConflict, "membership: peerURL exists"), nil
	case is(rpctypes.ErrGRPCMemberExist):
		return refusal(statusConflict, "membership: ID exists"), nil
	case is(rpctypes.ErrGRPCMemberNotFound):
		return refusal(statusNotFound, "No such member: "+id), nil
	case rpc.Denied(err):
		// The client has shown who it is, and cannot help it.
		return refusal(statusForbidden, "etcd refuses: only a user with etcd's role root may change members, and the proxy acts as another one (upstream.user)"), nil
	case rpc.Refused(err), is(rpctypes.ErrGRPCMemberNotEnoughStarted), is(rpctypes.ErrGRPCUnhealthy):
		return refusal(statusInternal, "Internal Server Error"), nil
	}
	return Reply{}, errors.New(rpc.Reason(err))
}

// encoded returns a reply with JSON.
func encoded(status int, v any) Reply {
	body, err := json.Marshal(v)
	if err != nil {
		panic("BUG: encoding members: " + err.Error())
	}
	return Reply{Status: status, Fields: [][2]string{{"Content-Type", "application/json"}}, Body: append(body, '\n')}
}

// refusal returns an error of etcd, which has no line feed.
func refusal(status int, message string) Reply {
	reply := encoded(status, map[string]string{"message": message})
	reply.Body = reply.Body[:len(reply.Body)-1]
	return reply
}

// NotAllowed returns the answer to a method that a path does not have, with those that it has.
func NotAllowed(methods string) Reply {
	reply := notAllowed()
	reply.Fields = append(reply.Fields, [2]string{"Allow", methods})
	return reply
}

// notAllowed returns what Go's server answers to methods that it does not know.
func notAllowed() Reply {
	return Reply{Status: statusMethod, Fields: [][2]string{{"Content-Type", "text/plain; charset=utf-8"}, {"X-Content-Type-Options", "nosniff"}},
		Body: []byte("Method Not Allowed\n")}
}
