package limits

import (
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/volume"
)

func TestVolumeDrift(t *testing.T) {
	has := []volume.Use{{Name: "a", Bytes: 3, Limit: 10}, {Name: "b"}}
	for _, c := range []struct {
		want []host.Volume
		out  string
	}{
		{nil, ""},
		{[]host.Volume{{Name: "a", Bytes: 10}, {Name: "b"}, {Name: "new", Bytes: 5}}, ""},
		{[]host.Volume{{Name: "a", Bytes: 20}, {Name: "b", Bytes: 1}},
			`quota of volume "a" is 10, wanted 20; quota of volume "b" is 0, wanted 1`},
		{[]host.Volume{{Name: "a"}}, `quota of volume "a" is 10, wanted 0`},
	} {
		if got := VolumeDrift(has, c.want); got != c.out {
			t.Errorf("%+v: %q, want %q", c.want, got, c.out)
		}
	}
}

// TestVolumeNotes: what was forgone is said; what was seen is not changed.
func TestVolumeNotes(t *testing.T) {
	has := []volume.Use{{Name: "a"}, {Name: "b", NoCOW: true}, {Name: "c"}}
	before := slices.Clone(has)
	got := VolumeNotes(has, []host.Volume{{Name: "a", NoCOW: true}, {Name: "b", NoCOW: true}, {Name: "c"}})
	if !strings.Contains(got[0].Note, "not written in place") || got[1].Note != "" || got[2].Note != "" || !slices.Equal(has, before) {
		t.Errorf("got %+v", got)
	}
}
