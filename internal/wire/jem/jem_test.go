package jem

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestDecode(t *testing.T) {
	for _, c := range []struct{ in, err string }{
		{`{"version":1,"init":"app"}`, ""},
		{`{"version":1,"init":"systemd","services":[{"name":"a.service","state":"active"}]}`, ""},
		{`{"version":2,"init":"app"}`, "version 2: want 1"},
		{`{"version":1,"init":"upstart"}`, `init "upstart"`},
		{`{"version":1,"init":"app","x":1}`, ``},
		{`{"version":1,"init":"app"} {}`, "more behind"},
		{``, "it is empty"},
		{`{"version":1,"init":"app","code":"ok","columns":["name"],"items":[{"name":"x"}]}`, ""},
		{`{"version":1,"init":"app","code":"o k"}`, "is no name of"},
		{`{"version":1,"init":"app","columns":["\u001b[2J"]}`, "is no name of"},
		{`{"version":1,"init":"app","error":{"reason":"x"}}`, `"error.code" is missing`},
		{`{"version":1,"init":"app","columns":[` + strings.Repeat(`"a",`, 16) + `"a"]}`, "more than 16 columns"},
		{`{"version":1,"init":"app","items":[` + strings.Repeat(`{},`, 10000) + `{}]}`, "longer than 10000"},
		{`{"version":1,"init":"app","message":"` + strings.Repeat("m", 9000) + `"}`, "message is longer"},
		{"{\"version\":1,\"init\":\"app\",\"text\":\"\xff\"}", "no UTF-8"},
		{`{"version":1,"init":"` + strings.Repeat("a", MaxReply) + `"}`, "at most"},
	} {
		_, err := Decode([]byte(c.in))
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%.60s: got %v, want %q", c.in, err, c.err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b, _ := json.Marshal(Reply{Version: 1, Init: InitSystemd, Lines: []Line{{Time: time.Unix(1, 0).UTC(), Text: "x"}},
		Error: &Error{Code: "invalid"}})
	f.Add(b)
	f.Add([]byte(`{"version":1,"init":"app","services":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(again); err != nil {
			t.Errorf("%q was read, written as %q and then refused: %v", b, again, err)
		}
	})
}
