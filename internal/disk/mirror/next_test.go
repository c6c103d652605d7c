package mirror

import "testing"

func TestNext(t *testing.T) {
	for _, c := range []struct {
		name     string
		devices  []Member
		mirrored bool
		want     Step
	}{
		{"alone", []Member{{1, Kept}, {2, Gone}}, false, Step{Do: Add}},
		{"alone, and nothing else was ever there", []Member{{1, Kept}}, false, Step{Do: Add}},
		{"added", []Member{{1, Kept}, {2, Gone}, {3, Joins}}, false, Step{Do: Remove, ID: 2}},
		{"cut off twice", []Member{{1, Kept}, {2, Gone}, {3, Gone}, {4, Joins}}, true, Step{Do: Remove, ID: 2}},
		{"removed", []Member{{1, Kept}, {3, Joins}}, false, Step{Do: Convert}},
		{"converted", []Member{{1, Kept}, {3, Joins}}, true, Step{Do: Whole}},
	} {
		if got := Next(c.devices, c.mirrored); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}
