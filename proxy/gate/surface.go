package gate

import (
	"strings"

	"etcd-tlsproxy/acl"
)

// Surface is a part of etcd's client port. The port carries far more than the
// v2 keys: membership, users and the whole v3 API are on it, open to every client that
// reaches it. A path that is not known to belong to etcd does not exist. A surface that is
// neither open to everyone nor opened by the configuration is closed.
type Surface int

// The surfaces. The table of prefixes decides on Keys. Info and the reads of
// Members are open to everyone, because client libraries read them before they
// do anything else, often with wrong credentials.
const (
	Closed  Surface = iota
	Keys            // /v2/keys
	Members         // /v2/members
	Info            // /v2/machines, /v2/stats/*, /version, /health, /metrics
	Auth            // /v2/auth
	Config          // /config
	Debug           // /debug
	V3              // /v3, /v3beta, ...; the parts for members and users need their surfaces as well
)

var surfaceNames = [...]string{"closed", "keys", "members", "info", "auth", "config", "debug", "v3"}

// String returns the surface's name in configuration, metrics and logs.
func (s Surface) String() string { return surfaceNames[s] }

// ParseSurface returns the surface that the configuration can open by name.
func ParseSurface(name string) (s Surface, ok bool) {
	for _, s := range []Surface{Members, Auth, Config, Debug, V3} {
		if surfaceNames[s] == name {
			return s, true
		}
	}
	return Closed, false
}

// NumSurfaces is the number of surfaces, which are numbered from 0.
const NumSurfaces = len(surfaceNames)

// KeysPrefix is the path of the root key.
const KeysPrefix = "/v2/keys"

// surfaceOf returns the surface of a canonical, decoded path.
func surfaceOf(path string) Surface {
	switch {
	case under(path, KeysPrefix):
		return Keys
	case under(path, "/v2/members"):
		return Members
	case path == "/v2/machines", path == "/v2/stats/self", path == "/v2/stats/store", path == "/v2/stats/leader",
		path == "/version", path == "/health", path == "/metrics":
		return Info
	case under(path, "/v2/auth"):
		return Auth
	case under(path, "/config"):
		return Config
	case under(path, "/debug"):
		return Debug
	}
	if first, _, _ := strings.Cut(path[1:], "/"); first == "v3" || first == "v3alpha" || first == "v3beta" {
		return V3
	}
	return Closed
}

// surfaceGroup returns the group that may use the operation's surface. opened is false if
// no one may.
func (p *Policy) surfaceGroup(op *Operation) (allowed acl.Group, opened bool) {
	if op.Access == acl.Read && (op.Surface == Info || op.Surface == Members) {
		return acl.Everyone(), true
	}
	allowed, opened = p.Surfaces[op.Surface]
	if op.Surface == V3 && opened {
		if within := withinV3(op.Path); within != Closed {
			var more acl.Group
			more, opened = p.Surfaces[within]
			allowed = allowed.Intersect(more)
		}
	}
	return allowed, opened
}

// withinV3 returns the surface that a path of the v3 API has in the v2 API, or Closed. The
// v3 API changes the same members, and users of the same kind: opening it must not open
// what the configuration closes under another name.
func withinV3(path string) Surface {
	_, rest, _ := strings.Cut(path[1:], "/")
	switch service, _, _ := strings.Cut(rest, "/"); service {
	case "cluster":
		return Members
	case "auth":
		return Auth
	}
	return Closed
}

func under(path, prefix string) bool {
	return strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
}

// neverServed reports whether a path without a surface exists at etcd nevertheless: the
// health checks of etcd 3.5, which clients of the v2 API do not use. /health is open.
func neverServed(path string) bool { return under(path, "/livez") || under(path, "/readyz") }
