package neighbour_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/neighbour"
)

type Head struct {
	Version int `json:"version"`
}

type item struct {
	Name  string            `json:"name"`
	Bytes int64             `json:"bytes,omitempty"`
	Addr  netip.Addr        `json:"addr,omitzero"`
	More  map[string]string `json:"more,omitempty"`
}

type doc struct {
	Head
	Items  []item          `json:"items"`
	ByID   map[string]item `json:"byID,omitempty"`
	At     time.Time       `json:"at,omitzero"`
	Next   *item           `json:"next,omitempty"`
	Raw    json.RawMessage `json:"raw,omitempty"`
	Plain  [][]int         `json:"plain,omitempty"`
	Hidden string          `json:"-"`
	Inner  *doc            `json:"inner,omitempty"`
}

func TestDecode(t *testing.T) {
	for _, c := range []struct{ name, in, err string }{
		{"as written", `{"version":1,"items":[{"name":"a"}]}`, ""},
		{"a list may be null", `{"version":1,"items":null}`, ""},
		{"unknown fields, at every depth",
			`{"version":1,"new":{"a":[1,{"b":"}"}]},"items":[{"name":"a","new":"\"]"}],"next":{"name":"n","x":null},"byID":{"k":{"name":"b","y":1e3}}}`, ""},
		{"fields in any order, with space", " { \"items\" : [ ] ,\n \"version\" : 2 } \n", ""},
		{"a required field is missing", `{"items":[]}`, `field "version" is missing`},
		{"a required list is missing", `{"version":1}`, `field "items" is missing`},
		{"in an element", `{"version":1,"items":[{"name":"a"},{"bytes":1}]}`, `field "items[1].name" is missing`},
		{"in a map", `{"version":1,"items":[],"byID":{"k":{}}}`, `field "byID.k.name" is missing`},
		{"behind a pointer", `{"version":1,"items":[],"next":{}}`, `field "next.name" is missing`},
		{"a name with an escape", `{"ver\u0073ion":1,"items":[]}`, ""},
		{"a field twice is one field", `{"version":1,"version":1}`, `field "items" is missing`},
		{"of another kind", `{"version":"1","items":[]}`, `field "version": this can't be a JSON string`},
		{"no object", `[]`, `the document can't be a JSON array`},
		{"something behind it", `{"version":1,"items":[]} {}`, "more behind the document, from byte 26 on"},
		{"cut off", `{"version":1,"items":[`, "ends in the middle"},
		{"empty", ``, "it is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d doc
			err := neighbour.Decode([]byte(c.in), &d)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%s: error %v, want one with %q", c.in, err, c.err)
			}
		})
	}
}

func TestRead(t *testing.T) {
	var d doc
	if err := neighbour.Read(strings.NewReader(`{"version":1,"items":[]}`), 24, &d); err != nil {
		t.Error(err)
	}
	if err := neighbour.Read(strings.NewReader(`{"version":1,"items":[]} `), 24, &d); err == nil ||
		!strings.Contains(err.Error(), "longer than 24 bytes") {
		t.Errorf("a document too long: %v", err)
	}
}

// A program of version N changes a record that N+1 wrote.
func TestCarry(t *testing.T) {
	for _, c := range []struct{ name, old, next, want string }{
		{"nothing before", ``, `{"version":1,"items":[]}`, `{"version":1,"items":[]}`},
		{"nothing unknown", `{"version":1,"items":[],"at":"2026-11-01T00:00:00Z"}`, `{"version":2,"items":[]}`, `{"version":2,"items":[]}`},
		{"at the top", `{"version":1,"items":[],"account":"admin"}`, `{"version":2,"items":[]}`,
			`{"version":2,"items":[],"account":"admin"}`},
		{"in elements, by name; their order changes, one is new, one gone",
			`{"version":1,"items":[{"name":"a","x":1},{"name":"b","x":2},{"name":"c","x":3}]}`,
			`{"version":1,"items":[{"name":"c","bytes":7},{"name":"d"},{"name":"a"}]}`,
			`{"version":1,"items":[{"name":"c","bytes":7,"x":3},{"name":"d"},{"name":"a","x":1}]}`},
		{"in a map: what was taken out stays out", `{"version":1,"items":[],"byID":{"k":{"name":"b","x":1},"gone":{"name":"g","x":2}}}`,
			`{"version":1,"items":[],"byID":{"k":{"name":"b2"}}}`, `{"version":1,"items":[],"byID":{"k":{"name":"b2","x":1}}}`},
		{"behind a pointer", `{"version":1,"items":[],"next":{"name":"n","x":{"deep":[1]}}}`,
			`{"version":1,"items":[],"next":{"name":"m"}}`, `{"version":1,"items":[],"next":{"name":"m","x":{"deep":[1]}}}`},
		{"what was taken away takes its own along", `{"version":1,"items":[],"next":{"name":"n","x":1}}`, `{"version":1,"items":[]}`,
			`{"version":1,"items":[]}`},
		{"two elements of one name are not told apart", `{"version":1,"items":[{"name":"a","x":1},{"name":"a","x":2},{"name":"b","x":3}]}`,
			`{"version":1,"items":[{"name":"a"},{"name":"b"}]}`, `{"version":1,"items":[{"name":"a"},{"name":"b","x":3}]}`},
		{"a text that was free stays as it is set", `{"version":1,"items":[],"raw":{"a":1}}`, `{"version":1,"items":[],"raw":{"b":1}}`,
			`{"version":1,"items":[],"raw":{"b":1}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := neighbour.Carry[doc]([]byte(c.old), []byte(c.next))
			if err != nil || string(got) != c.want {
				t.Errorf("got  %s\nwant %s (error %v)", got, c.want, err)
			}
		})
	}
}

func TestForeign(t *testing.T) {
	var d doc
	for in, want := range map[string]bool{
		`{"version":1,"items":[]}`:                                  false,
		`{"version":1,"items":[{"name":"a","more":{"any":"key"}}]}`: false,
		`{"version":1,"items":[{"name":"a","x":1}]}`:                true,
		`{"version":1,"items":[],"byID":{"k":{"name":"","x":1}}}`:   true,
	} {
		if got, err := neighbour.DecodeRecord([]byte(in), &d); err != nil || got != want {
			t.Errorf("%s: foreign %v, want %v (error %v)", in, got, want, err)
		}
	}
}

// Whatever is read never ends the program, and what is carried is read again to the same value.
func FuzzCarry(f *testing.F) {
	f.Add([]byte(`{"version":1,"x":"\"","items":[{"name":"a","x":[{}]}],"inner":{"version":2,"items":null,"y":1}}`),
		[]byte(`{"version":1,"items":[{"name":"a"}]}`))
	f.Add([]byte(`{"version":1,"items":[],"byID":{"":{"name":"\u0000"}}}`), []byte(`{"version":1,"items":[],"plain":[[1],[]]}`))
	f.Fuzz(func(t *testing.T, old, next []byte) {
		var was, is, got doc
		if neighbour.Decode(old, &was) != nil || neighbour.Decode(next, &is) != nil {
			return
		}
		enc, err := json.Marshal(is)
		if err != nil {
			return
		}
		out, err := neighbour.Carry[doc](old, enc)
		if err != nil {
			t.Fatal(err)
		}
		if err := neighbour.Decode(out, &got); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		again, _ := json.Marshal(got)
		if !reflect.DeepEqual(again, enc) {
			t.Fatalf("carried %s\nread as %s\nwant %s", out, again, enc)
		}
	})
}
