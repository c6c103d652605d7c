package front

import (
	"strconv"
	"strings"
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Kept[Settings](t, "settings")
	golden.Kept[Scheme](t, "scheme")
}

func TestValidate(t *testing.T) {
	many := map[string]int{}
	for i := range 101 {
		many[strconv.Itoa(i+1)] = 1
	}
	for want, s := range map[string]Settings{
		"": {Maintenance: true, Pages: []Page{{"down", "x"}, {"error", "y"}},
			Weights: map[string]int{"1": 0, "2": 100}, PerSource: 5},
		"perSource":      {PerSource: -1},
		`"nosuch" is no`: {Pages: []Page{{"nosuch", "x"}}},
		"twice":          {Pages: []Page{{"down", "x"}, {"down", "y"}}},
		"65537 bytes":    {Pages: []Page{{"down", strings.Repeat("x", MaxPage+1)}}},
		"65536 at most":  {Pages: []Page{{"down", strings.Repeat("x", MaxPage)}, {"error", "y"}}},
		"0 bytes":        {Pages: []Page{{"down", ""}}},
		"1 bytes":        {Pages: []Page{{"down", "\xff"}}},
		`node "0"`:       {Weights: map[string]int{"0": 1}},
		`node "02"`:      {Weights: map[string]int{"02": 1}},
		"weight 101":     {Weights: map[string]int{"2": 101}},
		"there are 101":  {Weights: many},
	} {
		if err := s.Validate(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+.60v: got %v, want %q", s, err, want)
		}
	}
	if (Scheme{HSTS: MaxHSTS + 1}).Validate() == nil || (Scheme{HSTS: 1, Redirect: true}).Validate() != nil {
		t.Error("a name's HSTS is not held to its range")
	}
	s := &Settings{Weights: map[string]int{"2": 7}, Pages: []Page{{"down", "x"}}}
	if s.Weight(2) != 7 || s.Weight(1) != MaxWeight || s.Page("down") != "x" || s.Page("error") != "" ||
		(*Settings)(nil).Page("down") != "" || (*Settings)(nil).Weight(1) != MaxWeight {
		t.Error("what a node or a page has is not found")
	}
}
