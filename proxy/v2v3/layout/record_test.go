package layout_test

import (
	"reflect"
	"testing"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

func TestARecordIsDecodedAsItWasEncoded(t *testing.T) {
	for _, r := range []v2store.Record{{}, {Created: 7}, {Modified: 1 << 63}, {Expires: -5}, {Created: 1, Modified: 2, Expires: 1 << 62}} {
		for _, extra := range []layout.Extra{nil, {"z": []byte(`[1,{"c":5}]`), "C": []byte(`9`)}} {
			value := layout.EncodeRecord(&r, extra)
			if (len(value) == 0) != (r == v2store.Record{} && extra == nil) {
				t.Errorf("%+v with %s is encoded as %q", r, extra, value)
			}
			var got v2store.Record
			gotExtra, err := layout.DecodeRecord(value, &got)
			if err != nil || got != r || !reflect.DeepEqual(gotExtra, extra) {
				t.Errorf("%q is decoded as %+v with %s and the error %v, want %+v with %s", value, got, gotExtra, err, r, extra)
			}
		}
	}
}

func TestARecordThatIsNoneIsAnError(t *testing.T) {
	for _, value := range []string{"x", "[]", `{"c":-1}`, `{"c":"1"}`, `{"e":1.5}`, `{"m":18446744073709551616}`} {
		if extra, err := layout.DecodeRecord([]byte(value), new(v2store.Record)); err == nil {
			t.Errorf("%s is decoded, with %s", value, extra)
		}
	}
	for _, value := range []string{"", "x", "[]", `{"schema":0,"min_read":1,"min_write":1}`, `{"schema":1}`, `{"schema":1,"min_read":1}`, `{"schema":1,"min_write":1}`, `{"schema":1,"min_read":1,"min_write":1,"offset":"1"}`} {
		if m, err := layout.DecodeMeta([]byte(value)); err == nil {
			t.Errorf("%s is decoded as %+v", value, m)
		}
	}
	for _, value := range []string{"", "x", "[]", `{"a":1}`} {
		if e, err := layout.DecodeEntry([]byte(value)); err == nil {
			t.Errorf("%s is decoded as %+v", value, e)
		}
	}
	for _, value := range []string{"", "x", "[]", `{"t":"1"}`} {
		if p, err := layout.DecodePresence([]byte(value)); err == nil {
			t.Errorf("%s is decoded as %+v", value, p)
		}
	}
	for _, value := range []string{"", "-1", " 1", "1 ", "18446744073709551616"} {
		if n, err := layout.DecodeQueue([]byte(value)); err == nil {
			t.Errorf("%q is decoded as %d", value, n)
		}
	}
}

func TestAPresenceIsDecodedAsItWasEncoded(t *testing.T) {
	for text, want := range map[string]layout.Presence{`{"t":5}`: {Time: 5}, `{"t":-1,"s":"x"}`: {Time: -1, Session: "x"}} {
		if got, err := layout.DecodePresence(want.Encode()); string(want.Encode()) != text || err != nil || *got != want {
			t.Errorf("%+v is encoded as %s and decoded as %+v, %v, want %s", want, want.Encode(), got, err, text)
		}
	}
}

func TestAnIndexIsThatOfItsRevision(t *testing.T) {
	for _, offset := range []int64{0, 100, -100} {
		m := layout.Meta{Offset: offset}
		if got := m.Revision(m.Index(500)); got != 500 || m.Index(500) != uint64(500+offset) {
			t.Errorf("with the offset %d the index of 500 is %d, whose revision is %d", offset, m.Index(500), got)
		}
	}
}
