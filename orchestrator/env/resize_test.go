package env

import (
	"fmt"
	"math"
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
	// Each field names itself, below its least and above its most.
	for name, f := range map[string]struct {
		least, most int64
		at          func(*operator.ResizeNode) **int64
	}{
		"memoryMiB":  {16, 512 << 10, func(r *operator.ResizeNode) **int64 { return &r.MemoryMiB }},
		"cpuMHz":     {0, 10_000_000, func(r *operator.ResizeNode) **int64 { return &r.CPUMHz }},
		"pids":       {16, 1_000_000, func(r *operator.ResizeNode) **int64 { return &r.PIDs }},
		"diskMiB":    {64, 16 << 20, func(r *operator.ResizeNode) **int64 { return &r.DiskMiB }},
		"readKiB":    {0, 1 << 30, func(r *operator.ResizeNode) **int64 { return &r.ReadKiB }},
		"writeKiB":   {0, 1 << 30, func(r *operator.ResizeNode) **int64 { return &r.WriteKiB }},
		"readOps":    {0, 1<<32 - 2, func(r *operator.ResizeNode) **int64 { return &r.ReadOps }},
		"writeOps":   {0, 1<<32 - 2, func(r *operator.ResizeNode) **int64 { return &r.WriteOps }},
		"netInKbit":  {0, 34_000_000, func(r *operator.ResizeNode) **int64 { return &r.NetInKbit }},
		"netOutKbit": {0, 34_000_000, func(r *operator.ResizeNode) **int64 { return &r.NetOutKbit }},
		"swapMiB":    {-1, 512 << 10, func(r *operator.ResizeNode) **int64 { return &r.SwapMiB }},
	} {
		for _, n := range []int64{f.least - 1, f.most + 1, math.MinInt64, math.MaxInt64} {
			var r operator.ResizeNode
			*f.at(&r) = of(n)
			want := fmt.Sprintf("%d, want %d to %d", n, f.least, f.most)
			if _, same, p := Resize(was, l, r); p == nil || p.Object != name || !strings.Contains(p.Reason, want) || same != l {
				t.Errorf("%s %d: %v, want %q", name, n, p, want)
			}
		}
		for _, n := range []int64{f.least, f.most} {
			var r operator.ResizeNode
			*f.at(&r) = of(n)
			if _, _, p := Resize(was, l, r); p != nil {
				t.Errorf("%s %d: %v", name, n, p)
			}
		}
	}
}
