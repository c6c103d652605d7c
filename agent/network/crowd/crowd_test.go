package crowd

import "testing"

func TestOf(t *testing.T) {
	for table, want := range map[uint64]struct {
		Limits
		parts uint32
	}{
		65536:   {Limits{16384, 57344}, 16},
		1 << 20: {Limits{32768, 917504}, 256},
		1 << 21: {Limits{65536, 1835008}, 512},
		100:     {Limits{16384, 88}, 1},
	} {
		if got := Of(table); got != want.Limits || got.parts() != want.parts {
			t.Errorf("of %d: %+v in %d parts, want %+v", table, got, got.parts(), want)
		}
	}
}
