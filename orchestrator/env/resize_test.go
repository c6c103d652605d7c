package env

import (
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

func TestResize(t *testing.T) {
	of := func(n int64) *int64 { return &n }
	was := wire.Cloudlets{Reserved: 2, Dynamic: 4}
	l := LimitsOf(was, 1024)
	c, got, p := Resize(was, l, operator.ResizeNode{Cloudlets: &wire.Cloudlets{Reserved: 1, Dynamic: 8}, CPUMHz: of(500)})
	want := LimitsOf(wire.Cloudlets{Reserved: 1, Dynamic: 8}, 1024)
	want.CPUMHz = 500
	if p != nil || c.Dynamic != 8 || got != want {
		t.Errorf("cloudlets: %v %+v %v, want %+v", c, got, p, want)
	}
	c, got, p = Resize(was, l, operator.ResizeNode{MemoryMiB: of(160), PIDs: of(99), DiskMiB: of(64), Rates: operator.Rates{ReadKiB: of(1),
		WriteOps: of(7), NetInKbit: of(64), SwapMiB: of(-1)}})
	if p != nil || c != was || got.MemoryMax != 160<<20 || got.MemoryMin != 160<<20 || got.MemoryHigh != 160<<20 || got.PIDs != 99 ||
		got.DiskBytes != 64<<20 || got.Ceilings.ReadBytes != 1024 || got.Ceilings.WriteOps != 7 || got.Ceilings.NetIn != 64000 ||
		got.Ceilings.Swap != -1 || got.CPUMHz != l.CPUMHz {
		t.Errorf("each: %v %+v %v", c, got, p)
	}
	s := SizeOf(c, host.Container{CTID: 7, Limits: got})
	if s.CTID != 7 || s.MemoryMiB != 160 || *s.ReadKiB != 1 || *s.NetInKbit != 64 || *s.SwapMiB != -1 || *s.WriteKiB != 0 {
		t.Errorf("shown as %+v", s)
	}
	for want, r := range map[string]operator.ResizeNode{
		"nothing is to be changed": {},
		"0 cloudlets, want 1":      {Cloudlets: &wire.Cloudlets{}},
		"15, want 16":              {MemoryMiB: of(15)},
		"-1, want 0":               {Rates: operator.Rates{ReadKiB: of(-1)}},
		"-2, want -1":              {Rates: operator.Rates{SwapMiB: of(-2)}},
		"63, want 64":              {DiskMiB: of(63)},
	} {
		if _, same, p := Resize(was, l, r); p == nil || !strings.Contains(p.Reason, want) || same.MemoryMax != l.MemoryMax {
			t.Errorf("%+v: %v, want %q", r, p, want)
		}
	}
}
