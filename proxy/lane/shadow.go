package lane

import (
	"context"
	"strings"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/shadow"
)

// fromEtcd is Do for an operation that etcd answers. The client waits for nothing of what a shadow does with
// the answer.
func (x *Exchange) fromEtcd(ctx context.Context, call *Call, buffer func() []byte) (Answer, *gate.Refusal, error) {
	sample := call.sample()
	a, refusal, err := x.askEtcd(ctx, call, buffer)
	switch {
	case sample == nil:
	case refusal != nil || err != nil:
		sample.Drop()
	case !a.Whole:
		sample.Skip(shadow.Large)
	default:
		sample.Answered(a.Status, a.Fields, a.Body)
	}
	return a, refusal, err
}

// sample begins a sample of a call, if its answer is to be compared.
func (c *Call) sample() *shadow.Sample {
	s, op := c.Snapshot.Shadow, c.Op
	if s == nil || op.Surface != gate.Keys || op.Watch || op.Method == gate.MethodHead || !s.Chooses() {
		return nil
	}
	_, query, _ := strings.Cut(op.Target, "?")
	var body []byte
	if op.HasBody() {
		body = c.Body
	}
	return s.Begin(op.Method, string(op.Key), query, c.ContentType, body)
}

// Shadows returns the state of the shadow, or nothing without one.
func (s *Snapshot) Shadows() []observe.ShadowStatus {
	if s.Shadow == nil {
		return nil
	}
	st := s.Shadow.Status()
	shown := observe.ShadowStatus{
		Prefix: st.Prefix, SamplePercent: 100 * st.Sample, Following: st.Following, Reason: st.Reason, Lost: st.Lost, Appends: st.Appends,
		Copied: st.Copied, Index: st.Index, Events: st.Events, Samples: st.Samples, Bytes: st.Bytes,
		ComparedReads: st.ComparedReads, ComparedWrites: st.ComparedWrites, Skipped: st.Skipping(), Differing: st.Differing(), LastDifference: st.Last,
	}
	for _, reason := range shadow.Reasons {
		shown.SkippedBy = append(shown.SkippedBy, observe.ShadowCount{Of: string(reason), Answers: st.Skipped[reason]})
	}
	for _, kind := range shadow.Kinds {
		shown.DifferingBy = append(shown.DifferingBy, observe.ShadowCount{Of: string(kind), Answers: st.Differences[kind]})
	}
	for _, d := range st.First {
		shown.First = append(shown.First, observe.ShadowDifference{Time: d.At, Kind: string(d.Kind), Method: d.Method, Key: d.Key, What: d.What})
	}
	return []observe.ShadowStatus{shown}
}
