package ceiling

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) { golden.Wire[Ceilings](t, "ceilings") }

func TestSwapOf(t *testing.T) {
	for _, c := range []struct{ swap, max, want int64 }{{0, 128 << 20, 64 << 20}, {0, 0, -1}, {NoSwap, 128 << 20, 0}, {NoSwap, 0, 0},
		{5 << 20, 0, 5 << 20}, {5 << 20, 1 << 20, 5 << 20}} {
		if got := (Ceilings{Swap: c.swap}).SwapOf(c.max); got != c.want {
			t.Errorf("swap %d of a container of %d bytes: %d, want %d", c.swap, c.max, got, c.want)
		}
	}
}
