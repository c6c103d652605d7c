package operator

import (
	"fmt"
	"strings"
	"testing"
)

func TestLabels(t *testing.T) {
	many := map[string]string{}
	for i := range MaxHostLabels + 1 {
		many[fmt.Sprintf("a%d", i)] = "1"
	}
	for _, c := range []struct {
		labels map[string]string
		wrong  string // what the error says; "": there is none
	}{
		{nil, ""},
		{map[string]string{"disk": "ssd", "zone": "a", "hardware.gpu_kind-2": "A100-80.G_b"}, ""},
		{map[string]string{strings.Repeat("a", 40): strings.Repeat("b", 63)}, ""},
		{map[string]string{strings.Repeat("a", 41): "b"}, "want 1 to 40"},
		{map[string]string{"a": strings.Repeat("b", 64)}, "want 1 to 63"},
		{map[string]string{"a": ""}, `label a: value ""`},
		{map[string]string{"": "a"}, `label ""`},
		{map[string]string{"Disk": "a"}, `label "Disk"`},
		{map[string]string{"1disk": "a"}, `label "1disk"`},
		{map[string]string{"disk": "s s d"}, "value"},
		{map[string]string{"disk": "ssd\n"}, "value"},
		{map[string]string{"disk": strings.Repeat("é", 5000)}, "…"},
		{many, "33 labels, a host has at most 32"},
	} {
		if err := Labels(c.labels); (err == nil) != (c.wrong == "") || err != nil &&
			(!strings.Contains(err.Error(), c.wrong) || len(err.Error()) > 500) {
			t.Errorf("%v: %v, want %q", c.labels, err, c.wrong)
		}
	}
}

func TestPlaceSpec(t *testing.T) {
	ssd := &PlaceSpec{Labels: map[string]string{"disk": "ssd", "gpu": "yes"}, Zones: []string{"b", "a"}}
	for _, c := range []struct {
		place  *PlaceSpec
		labels map[string]string
		lacks  string
	}{
		{nil, nil, ""},
		{&PlaceSpec{}, nil, ""},
		{ssd, map[string]string{"disk": "ssd", "gpu": "yes", "zone": "a", "more": "x"}, ""},
		{ssd, map[string]string{"disk": "hdd", "gpu": "yes", "zone": "a"}, "label disk=ssd"},
		{ssd, map[string]string{"zone": "c"}, "label disk=ssd; label gpu=yes; label zone of a, b"},
		{&PlaceSpec{Zones: []string{"a"}}, nil, "label zone=a"},
	} {
		if got := strings.Join(c.place.Lacks(c.labels), "; "); got != c.lacks || c.place.Takes(c.labels) != (c.lacks == "") {
			t.Errorf("%s: %v lacks %q, want %q", c.place, c.labels, got, c.lacks)
		}
	}
	if got := ssd.String(); got != "label disk=ssd and label gpu=yes and label zone of a, b" {
		t.Error(got)
	}
	if got := (*PlaceSpec)(nil).String(); got != "any host" {
		t.Error(got)
	}
	other := *ssd
	if other.Zones = []string{"a", "b"}; !ssd.Same(&other) || ssd.Same(nil) || !(*PlaceSpec)(nil).Same(nil) || ssd.Same(&PlaceSpec{}) {
		t.Error("what asks for the same is the same")
	}
}
