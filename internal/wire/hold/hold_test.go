package hold

import (
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
)

func TestFormat(t *testing.T) {
	text := Format([]Node{{102, 3}, {101, 0}})
	if text != "101:0,102:3" {
		t.Errorf("written as %q", text)
	}
	if got, err := Parse(text); err != nil || !slices.Equal(got, []Node{{101, 0}, {102, 3}}) {
		t.Errorf("read as %v, %v", got, err)
	}
	if got, err := Parse(Format(nil)); err != nil || got != nil {
		t.Errorf("none are read as %v, %v", got, err)
	}
	var many []Node
	for i := range Most + 5 {
		many = append(many, Node{wire.CTID(Most + 200 - i), i})
	}
	if got, err := Parse(Format(many)); err != nil || len(got) != Most || got[0].CTID != 196 {
		t.Errorf("of %d nodes %d are named, %v", len(many), len(got), err)
	}
	for _, bad := range []string{"101", "101:", "101:x", "101:-1", ":1", "0:1", "101:1,", "a:1", "101:1;102:2",
		strings.Repeat("101:1,", Most) + "101:1", "101:99999999999999999999"} {
		if got, err := Parse(bad); err == nil || !strings.Contains(err.Error(), "held") {
			t.Errorf("%.40q is read as %v, %v", bad, got, err)
		}
	}
}
