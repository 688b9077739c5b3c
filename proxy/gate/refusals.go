package gate

// The two texts of the nginx site, which clients parse. Their bytes are an interface.
var (
	RefuseIdentity = refuse(401, "unauthorized", codeUnauthorized,
		"The request requires user authentication", "Insufficient credentials")
	RefuseReadOnly = refuse(403, "read_only", codeReadOnly,
		"This cluster is in read-only mode", "Cluster configured to be read-only")
)

// Refusals of requests that cannot be read, or that ask for what no client is served.
var (
	RefuseReserved = refuse(403, "reserved_key", codeUnauthorized,
		"The key is reserved", "etcd takes a key of this shape for its own membership; nobody may write it")
	RefuseDepth = refuse(400, "too_deep", codeInvalidField,
		"Bad request", "The key has more than 100 segments")
	RefuseSurface = refuse(403, "closed_surface", codeUnauthorized,
		"Closed by the proxy", "The proxy's configuration does not open this path; see [surfaces]")
	RefuseEnablingAuth = refuse(403, "etcd_users", codeUnauthorized,
		"Closed by the proxy", "The proxy drops credentials, so nobody could disable etcd's own users again; see upstream.credentials in its configuration")
	RefusePath = refuse(404, "no_such_path", codeNotFound,
		"Not found", "etcd has no such path; keys are below "+KeysPrefix)
	RefuseUpgrade = refuse(403, "upgrade", codeUnauthorized,
		"Not served here", "A request with an Upgrade field must have no body")
	RefuseMethod = refuse(405, "method", codeInvalidField,
		"Method not allowed", "The methods are "+AllowedMethods)
	RefuseTarget = refuse(400, "bad_target", codeInvalidField,
		"Bad request", "The request target is neither a path nor an http URL")
	RefuseQuery = refuse(400, "bad_target", codeInvalidField,
		"Bad request", "The query contains a space, a control byte or a # that is not encoded")
	RefuseSemicolon = refuse(400, "bad_target", codeInvalidField,
		"Bad request", "The query contains a semicolon that is not encoded, which some releases of etcd take for an ampersand")
	RefuseTooLong = refuse(414, "too_long", codeInvalidField,
		"Request target too long", "The path and query exceed the limit; send parameters in a form body")
	RefuseTooLarge = refuse(413, "too_large", codeInvalidForm,
		"Request body too large", "The body exceeds the limit")
	RefuseBody = refuse(400, "bad_body", codeInvalidForm,
		"Bad request", "The body ended early or is malformed").closing()
	RefuseSlowBody = refuse(408, "slow_body", codeInvalidForm,
		"Request timeout", "The body did not arrive in time").closing()
	RefusePlainHTTP = refuse(400, "plain_http", codeInvalidField,
		"Bad request", "The plain HTTP request was sent to HTTPS port").closing()
)

// Refusals of requests that may be served at another time.
var (
	RefuseThrottled = refuse(429, "throttled", codeUnauthorized,
		"Too many failed logins", "This address must wait before its next login")
	RefuseBusy = refuse(503, "busy", codeRaft,
		"The proxy is busy", "Too many logins at once").retryAfter(1)
	RefuseMemory = refuse(503, "busy", codeRaft,
		"The proxy is busy", "Too many large bodies at once").retryAfter(1)
	RefuseSpace = refuse(503, "memory", codeRaft,
		"The proxy is busy", "There is little memory left; reads are refused first").retryAfter(1)
	RefuseUnaudited = refuse(503, "unaudited", codeRaft,
		"The proxy cannot record writes", "The audit log cannot be written; nothing was sent").retryAfter(5)
	RefuseWatches = refuse(503, "busy", codeRaft,
		"The proxy is busy", "Too many watches at once").retryAfter(1)
	RefuseUserWatches = refuse(503, "busy", codeRaft,
		"The proxy is busy", "Too many watches of this user or address at once").retryAfter(1)
	RefuseDraining = refuse(503, "draining", codeRaft,
		"The proxy is shutting down", "Connect again").retryAfter(1).closing()
	RefuseUnreachable = refuse(503, "unreachable", codeRaft,
		"etcd cannot be reached", "No endpoint accepted a connection; nothing was sent").retryAfter(1)
	RefuseStore = refuse(503, "store", codeRaft,
		"The store cannot be served", "The proxy has no current copy of the store, or etcd accepted no write; nothing was carried out").retryAfter(1)
	RefuseHeld = refuse(503, "held", codeRaft,
		"The keys are being moved", "etcd's v2 API and the tree in its v3 store change over; nothing was carried out").retryAfter(1)
	RefuseUpstreamBusy = refuse(503, "busy", codeRaft,
		"The proxy is busy", "Too many requests to etcd at once; nothing was sent").retryAfter(1)
	RefuseGreedy = refuse(507, "quota", codeRaft,
		"The store is too full", "More than a half of its quota is used, and this client or its network has written most of late; nothing was written")
	RefuseOpen = refuse(507, "quota", codeRaft,
		"The store is too full", "More than 65 % of its quota is used; only writes that need a login are carried out")
	RefuseFull = refuse(507, "quota", codeRaft,
		"The store is too full", "More than 80 % of its quota is used; only DELETE is carried out")
	RefuseUnknownOutcome = refuse(503, "unknown_outcome", codeRaft,
		"The connection to etcd was lost", "The write may or may not have been carried out; read before writing again")
	RefuseBroken = refuse(502, "broken", codeRaft,
		"etcd broke off its answer", "The answer was incomplete or malformed")
	RefuseTimeout = refuse(504, "timeout", codeRaft,
		"etcd did not answer in time", "A write may or may not have been carried out; read before writing again")
)

// RefuseLostAnswer refuses a write that was carried out at an index, and whose answer cannot be
// made any more.
func RefuseLostAnswer(index uint64) *Refusal {
	r := *lostAnswer
	r.Body = encode(codeRaft, lostMessage, r.Cause, index)
	return &r
}

const lostMessage = "The answer is lost"

var lostAnswer = refuse(503, "lost_answer", codeRaft,
	lostMessage, "The write was carried out at the index of this error; do not repeat it")

// DecisionReasons returns the reasons of all refusals that [Gate.Decide] can return.
func DecisionReasons() []string {
	return []string{
		"unauthorized", "read_only", "reserved_key", "too_deep", "closed_surface", "etcd_users", "upgrade", "method", "no_such_path", "bad_target", "too_long",
		"throttled", "busy", "memory", "unaudited",
	}
}

// Reasons returns the reasons of all refusals that can be recorded: those of decisions, and
// those of what comes after a decision or without one.
func Reasons() []string {
	return append(DecisionReasons(), "malformed", "bad_body", "slow_body", "too_large", "draining",
		"unreachable", "store", "held", "quota", "broken", "timeout", "unknown_outcome", "lost_answer")
}

// refusePathFor names the reason that acl gives, which is a constant text.
func refusePathFor(reason string) *Refusal {
	return refuse(400, "bad_target", codeInvalidField, "Bad request", "The path is refused: "+reason)
}

// Malformed refuses a message that cannot be read. The reason is a constant text.
func Malformed(status int, reason string) *Refusal {
	return refuse(status, "malformed", codeInvalidField, "Bad request", reason).closing()
}
