package upstream

// Parts are the parts into which limits.upstream_requests is divided: the sizes of pools, and
// the places in them that only writes get.
type Parts struct {
	// Requests are those that etcd carries out. An eighth of all is left for those that many
	// clients share.
	Requests, RequestsReserve int64
	// Proposals are those of them that need etcd's leader.
	Proposals, ProposalsReserve int64
	// Trees are reads of trees whose size nobody knows yet. The parts leave room for as many
	// answers at the pace of their clients.
	Trees int64
}

// treeShare is the share of the requests to etcd, as a divisor, that may be reads of unknown
// trees.
const treeShare = 64

// PartsOf divides a number of requests.
func PartsOf(requests int64) Parts {
	p := Parts{Trees: max(1, requests/treeShare)}
	p.Requests = max(1, requests-requests/8-p.Trees)
	p.RequestsReserve = p.Requests / 8
	p.Proposals = max(1, p.Requests-p.Requests/8)
	p.ProposalsReserve = p.Proposals / 8
	return p
}

// Parts returns the parts of the pool's requests.
func (p *Pool) Parts() Parts { return PartsOf(int64(p.MaxRequests())) }
