package crowd

import "testing"

func TestLimit(t *testing.T) {
	for all, want := range map[uint64]int{0: 16384, 65536: 16384, 1 << 20: 32768, 1 << 21: 65536, 1 << 30: 65536} {
		if got := Limit(all); got != want {
			t.Errorf("of %d: %d, want %d", all, got, want)
		}
	}
}
