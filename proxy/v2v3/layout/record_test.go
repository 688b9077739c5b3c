package layout_test

import (
	"math"
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

// TestTheFieldsOfARecordMayHaveAnyFormOfJSON has records in the form that is written, and others that say the same.
func TestTheFieldsOfARecordMayHaveAnyFormOfJSON(t *testing.T) {
	for want, values := range map[v2store.Record][]string{
		{Created: 12}:                            {`{"c":12}`, `{"c": 12}`, `{"c":12}` + "\n", ` {"c":12}`, `{"c":7,"c":12}`, `{"\u0063":12}`, `{"c":12,"e":null}`},
		{Created: 5, Expires: 6, Modified: 7}:    {`{"c":5,"e":6,"m":7}`, `{"m":7,"e":6,"c":5}`, `{"c":5,"m":7,"e":6}`},
		{Expires: 6}:                             {`{"e":6}`, `{"c":0,"e":6}`, `{"e":6,"m":0}`},
		{Expires: math.MaxInt64}:                 {`{"e":9223372036854775807}`},
		{Created: math.MaxInt64, Modified: 1e18}: {`{"c":9223372036854775807,"m":1000000000000000000}`},
		{Modified: 1<<63 + 1}:                    {`{"m":9223372036854775809}`},
		{Modified: math.MaxUint64}:               {`{"m":18446744073709551615}`},
		{}:                                       {`{}`, ``, `{"c":0}`, `null`},
	} {
		for _, value := range values {
			var got v2store.Record
			if extra, err := layout.DecodeRecord([]byte(value), &got); err != nil || extra != nil || got != want {
				t.Errorf("%q: got the record %+v with %s and the error %v, want %+v", value, got, extra, err, want)
			}
		}
	}
	for _, value := range []string{`{`, `}`, `{"c"`, `{"c":`, `{"c":}`, `{"c":1`, `{"c":1,`, `{"c":1,}`, `{"c":1}}`, `{"c":01}`, `{,"c":1}`, `{"c":1"e":2}`, `{"c" 12}`, `{"c";12}`, `{"c:"12}`, `{"c'12}`, `{'c":12}`, `{ c":12}`, `["c":12}`, `""c":12}`, `{"c":1;"e":2}`, `{"c":1,'e":2}`, `{"c":12]`, `{"c":12`, `{"e":9223372036854775808}`, `{"c":100000000000000000000}`, `{"c":18446744073709551617}`} {
		r := v2store.Record{Created: 9, Expires: 9, Modified: 9}
		if _, err := layout.DecodeRecord([]byte(value), &r); err == nil {
			t.Errorf("%q: got the record %+v, want an error", value, r)
		}
	}
}

// TestARecordThatIsWrittenHereIsDecodedWithoutMemory has the records of which trees have a hundred thousand.
func TestARecordThatIsWrittenHereIsDecodedWithoutMemory(t *testing.T) {
	for _, r := range []v2store.Record{{}, {Created: 7}, {Modified: 10}, {Expires: 12}, {Created: 1, Modified: 2}, {Modified: 2, Expires: 99}, {Created: 1, Modified: 2, Expires: math.MaxInt64}} {
		value := layout.EncodeRecord(&r, nil)
		var got v2store.Record
		if n := testing.AllocsPerRun(10, func() { _, _ = layout.DecodeRecord(value, &got) }); n > 0 || got != r {
			t.Errorf("%q is decoded as %+v with %v allocations, want %+v with none", value, got, n, r)
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
	for text, want := range map[string]layout.Presence{`{"t":5}`: {Time: 5}, `{"t":-1,"s":"x","h":"conf1001"}`: {Time: -1, Session: "x", Host: "conf1001"}} {
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
