package main

// bug is a mistake and the test that finds it.
type bug struct {
	name         string
	file         string
	right, wrong string
	pkg, by      string
}

const (
	store  = "./proxy/v2v3"
	mirror = "./proxy/v2v3/mirror"
	layout = "./proxy/v2v3/layout"
)

var bugs = []bug{
	// Writes.
	{"a transaction does not compare what it changes", "proxy/v2v3/layout/txn.go",
		"			t.Modified(key, t.Meta.Revision(f.Index))\n", "			_ = key\n",
		store, "TestNoIncrementIsLostBetweenStores"},
	{"a transaction does not compare that a key is absent", "proxy/v2v3/layout/txn.go",
		"			t.exists(k.Dir(f.Key), false)\n			t.exists(k.File(f.Key), false)\n", "",
		layout, "TestEachFactIsItsCompares"},
	{"a refusal does not wait for the barrier", "proxy/v2v3/write.go",
		"if err = s.fresh(ctx); err == nil {", "if err = ctx.Err(); err == nil {",
		store, "TestARefusalIsTrueAfterTheRequestBegan"},
	{"a quorum read does not wait for the revision of the barrier", "proxy/v2v3/barrier.go",
		"b.s.reach(ctx, r.revision)", "b.s.reach(ctx, 0)",
		store, "TestAQuorumReadSeesWhatAnotherStoreHasAcknowledged"},
	{"a transaction does not compare the description of the tree", "proxy/v2v3/propose.go",
		"	t.Modified(s.keys.Meta(), m.MetaRevision)\n", "",
		store, "TestAWriteThatWasPlannedBeforeAFreezeFails"},
	{"a transaction does not compare its session", "proxy/v2v3/propose.go",
		"	t.Modified(s.keys.Session(session), revision)\n", "",
		store, "TestNoWriteIsExecutedBehindItsFence"},
	{"an update drops the fields of a newer layout", "proxy/v2v3/propose.go",
		"m.Extra(c.Key, c.Put != nil && c.Put.Dir)", "nil",
		store, "TestAnUpdateKeepsTheFieldsOfANewerLayout"},
	{"a set keeps the fields of a newer layout", "proxy/v2v3/layout/txn.go",
		"	if c.Action == v2store.Set || c.Action == v2store.Create {\n", "	if c.Action == v2store.Create {\n",
		layout, "TestOnlyAChangeThatKeepsTheNodeKeepsUnknownFields"},
	{"a program that is too old writes", "proxy/v2v3/propose.go",
		"m.Meta.MinWrite > layout.Schema", "m.Meta.MinWrite < 0",
		store, "TestATreeOfANewerLayoutIsRefused"},
	{"a POST after conflicts does not compare its queue", "proxy/v2v3/propose.go",
		"			t.Modified(s.keys.Queue(op.Key), m.Queues[op.Key].Revision)\n", "",
		store, "TestAPostAmongManyWritesKeepsItsOrder"},
	{"a removed directory leaves its queue behind", "proxy/v2v3/layout/txn.go",
		"		t.delete(k.Queue(c.Key), nil)\n", "",
		layout, "TestARemovalDeletesAllKeysOfItsNodes"},
	{"a write removes values of v3 clients", "proxy/v2v3/propose.go",
		"if m.Protects(c) {", "if m.Protects(c) && false {",
		store, "TestNoWriteTakesValuesOfClientsOfV3"},

	// Outcomes.
	{"not executed is concluded across a gap", "proxy/v2v3/write.go",
		"	case rebuilt:\n", "	case rebuilt && false:\n",
		store, "TestAnOutcomeIsUnknownIfTheMirrorHasAGap"},
	{"not executed is concluded without a fence", "proxy/v2v3/write.go",
		"	case err != nil:\n		return nil, &Error{Kind: UnknownOutcome, Reason: rpc.Reason(lost) +", "	case err != nil && false:\n		return nil, &Error{Kind: UnknownOutcome, Reason: rpc.Reason(lost) +",
		store, "TestAnOutcomeIsUnknownWithoutAConfirmedFence"},
	{"a write is sent again without a fence", "proxy/v2v3/write.go",
		"	fence, err := s.session.FenceOff(ctx, p.session, p.sessionRevision)\n", "	fence, err := p.sessionRevision, ctx.Err()\n",
		store, "TestAWriteIsRepeatedAtAnotherMember"},
	{"a lost transaction leaves no time for its fence", "proxy/v2v3/propose.go",
		"attempt = min(attempt, time.Until(end)/2)", "attempt = time.Until(end)",
		store, "TestAWriteThatAMemberLosesIsSentAgain"},
	{"a write whose event was lost with the mirror has another previous node", "proxy/v2v3/reconstruct.go",
		"		r.Recorded = meta.Index(kv.ModRevision)\n", "		r.Recorded = meta.Index(revision)\n",
		store, "TestALostEventIsReconstructed"},

	// The mirror.
	{"the order of the events in a revision matters", "proxy/v2v3/layout/revision.go",
		"	slices.SortFunc(c.Dirs, func(a, b string) int { return len(a) - len(b) })\n", "	_ = slices.Sort[[]string]\n",
		layout, "TestAChangeIsReadBackAsItWasStored"},
	{"a revision that does not fit the mirror is applied", "proxy/v2v3/mirror/mirror.go",
		"if c.Put == nil && len(e.Removed) != r.Removed {", "if c.Put == nil && len(e.Removed) != r.Removed && false {",
		mirror, "TestARevisionThatDoesNotFitIsAnError"},
	{"a mirror that missed events goes on", "proxy/v2v3/state.go",
		"	return m.Applied, len(answer.Kvs) == 1 &&", "	return m.Applied, m.LogRevision > 0 || len(answer.Kvs) == 1 &&",
		store, "TestARestoredStoreIsNoticed"},
	{"a compaction without events breaks watches off", "proxy/v2v3/state.go",
		"return st.revision, true, s.readForeign", "return m.Applied, true, s.readForeign",
		store, "TestAWatchOutlivesACompactionWithoutEvents"},
	{"a new generation is overlooked", "proxy/v2v3/mirror/mirror.go",
		"if meta.Generation != m.Meta.Generation || meta.Offset != m.Meta.Offset {", "if meta.Offset < m.Meta.Offset {",
		store, "TestANewGenerationBreaksWatchesOff"},
	{"a partitioned member is followed for ever", "proxy/v2v3/seen.go",
		"	return l.since > int(maxBehind/tick) && idle > l.idle+1", "	return l.since > int(maxBehind/tick) && idle < l.idle",
		store, "TestTheStoreMovesToTheMemberThatShowedMore"},
	{"a member without a leader is followed", "proxy/v2v3/rpc/watch.go",
		"context.WithCancel(RequireLeader(ctx))", "context.WithCancel(ctx)",
		store, "TestAWatchOutlivesTheLossOfTheQuorum"},
	{"old reads are answered for ever", "proxy/v2v3/store.go",
		"time.Since(s.lost) > maxStale", "time.Since(s.lost) > 1000*maxStale",
		store, "TestReadsAreAnsweredForAWhileWithoutEtcd"},
	{"fragments of a response are not joined", "proxy/v2v3/rpc/watch.go",
		"	if w.partial {\n", "	if w.partial && n == 0 {\n",
		store, "TestEventsLargerThanAResponseAreJoined"},
	{"a loaded mirror has another history", "proxy/v2v3/load.go",
		"	want := max(st.log.Version-", "	want := max(st.log.Version+1-",
		store, "TestALoadedMirrorHasTheHistoryOfThoseThatFollowed"},
	{"a load that was compacted away is tried with its history for ever", "proxy/v2v3/follow.go",
		"	return s.pastFailures < maxPastFailures\n", "	return s.pastFailures < 9*maxPastFailures\n",
		store, "TestALoadThatIsCompactedAwayBeginsAnew"},
	{"a mirror goes on in a store that was restored and compacted", "proxy/v2v3/state.go",
		"	case rpc.Compacted(err) && isLog(m, st.log):\n", "	case rpc.Compacted(err):\n",
		store, "TestNoIndexIsUsedAgainAfterARecovery"},
	{"a tree that does not fit is loaded", "proxy/v2v3/load.go",
		"	if s.o.MaxBytes > 0 && int64(size) > s.o.MaxBytes {\n", "	if s.o.MaxBytes > 0 && size < 0 {\n",
		store, "TestATreeThatDoesNotFitIsNotLoaded"},
	{"a kept answer is older than the tree", "proxy/v2store/tree.go",
		"	n.changed()\n	n.parent.detach(n)\n", "	n.parent.detach(n)\n",
		"./proxy/v2store", "TestARenderedAnswerIsThatOfGet"},

	// The audit.
	{"the audit overlooks a lost node", "proxy/v2v3/mirror/comparison.go",
		"	case a.records != a.nodes:\n", "	case a.records > a.nodes:\n",
		store, "TestAnAuditFindsEventsThatTheMirrorMissed"},
	{"the audit overlooks a change", "proxy/v2v3/mirror/comparison.go",
		"|| index != a.m.Meta.Index(revision))", "|| index == 0 && revision != 0)",
		store, "TestAnAuditFindsEventsThatTheMirrorMissed"},
	{"the audit overlooks a value that a client of v3 changed", "proxy/v2v3/mirror/comparison.go",
		"a.m.overwrites[key] != revision {", "a.m.overwrites[key] > revision {",
		store, "TestAnAuditFindsWhatAClientOfV3HasDone"},

	// Expiry and compaction.
	{"a keeper that was replaced expires nodes", "proxy/v2v3/expire.go",
		"		p.txn.Modified(s.keys.Keeper(), keeper)\n", "",
		store, "TestAKeeperThatWasReplacedExpiresNothing"},
	{"a directory with values of v3 clients expires", "proxy/v2v3/expire.go",
		"		return protected\n", "		return protected && now.IsZero()\n",
		store, "TestADirectoryWithKeysOfV3BelowDoesNotExpire"},
	{"a compaction cuts into the history of v2", "proxy/v2v3/compact.go",
		"return s.eventsAgo(ctx, st, maxPast)", "return s.eventsAgo(ctx, st, maxPast/2)",
		store, "TestCompactionKeepsTheLastEvents"},
}
