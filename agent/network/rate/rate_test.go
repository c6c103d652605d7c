package rate

import "testing"

func TestShapeOf(t *testing.T) {
	for _, c := range []struct {
		bits  int64
		want  shape
		ticks uint32
	}{
		{1, shape{1000, 128 << 10, 128<<10 + 200}, 2048000000},
		{10_000_000, shape{1_250_000, 128 << 10, 128<<10 + 250_000}, 1638400},
		{1_000_000_000, shape{125_000_000, 6_250_000, 31_250_000}, 781250},
		{1 << 62, shape{1<<32 - 1, 214748364, 214748364 + 858993459}, 781249},
	} {
		got := shapeOf(c.bits)
		if got != c.want || got.ticks() != c.ticks {
			t.Errorf("%d bits a second: %+v, %d ticks; want %+v, %d", c.bits, got, got.ticks(), c.want, c.ticks)
		}
	}
}
