package golden

import (
	"encoding/json"
	"testing"
	"time"
)

type inner struct {
	Name string `json:"name"`
	More *inner `json:"more,omitempty"`
}

type outer struct {
	inner
	At   time.Time         `json:"at"`
	Text map[string]string `json:"text"`
	By   map[int]inner     `json:"by"`
	List []inner           `json:"list"`
	Any  json.RawMessage   `json:"any"`
}

func TestExampleSetsEveryField(t *testing.T) {
	const want = `{"name":"text","at":"2026-11-22T10:20:30Z","text":{"anyKey":"text"},"by":{"101":{"name":"text"}},"list":[{"name":"text"}],"any":{"anyKey":1}}`
	if got := string(text(t, Example[outer]())); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestInject(t *testing.T) {
	got := string(inject(t, []byte(`{"a":{"b":1},"m":{"anyKey":{"c":1}},"n":{"101":2},"l":[{"d":1}]}`)))
	const x = `"fieldOfALaterVersion":{"a":[1,"}"]}`
	if want := `{"a":{"b":1,` + x + `},` + x + `,"l":[{"d":1,` + x + `}],"m":{"anyKey":{"c":1,` + x + `}},"n":{"101":2}}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMissing(t *testing.T) {
	for _, c := range []struct{ want, got, at string }{
		{`{"a":1,"b":[{"c":2}]}`, `{"b":[{"c":2,"new":3}],"a":1}`, ""},
		{`{"a":1}`, `{}`, ".a"},
		{`{"b":[{"c":2}]}`, `{"b":[{"c":3}]}`, ".b[0].c"},
		{`{"b":[1]}`, `{"b":[]}`, ".b"},
		{`{"b":{"c":1}}`, `{"b":null}`, ".b"},
	} {
		if at := missing(t, []byte(c.want), []byte(c.got)); at != c.at {
			t.Errorf("%s in %s: missing at %q, want %q", c.want, c.got, at, c.at)
		}
	}
}
