package env

import (
	"fmt"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// Resize is what a node's cloudlets and limits become by a change of them by hand.
func Resize(c wire.Cloudlets, l host.Limits, r operator.ResizeNode) (wire.Cloudlets, host.Limits, *operator.Problem) {
	if r.Empty() {
		return c, l, operator.NewProblem(operator.Invalid, "resize", "nothing is to be changed", "give cloudlets or another size")
	}
	if r.Cloudlets != nil {
		if p := cloudlets("cloudlets", *r.Cloudlets); p != nil {
			return c, l, p
		}
		c = *r.Cloudlets
		of := LimitsOf(c, 0)
		l.MemoryMin, l.MemoryHigh, l.MemoryMax, l.CPUWeight, l.CPUMHz = of.MemoryMin, of.MemoryHigh, of.MemoryMax, of.CPUWeight, of.CPUMHz
	}
	within := func(name string, at *int64, least, most, unit int64, to *int64) *operator.Problem {
		if at == nil {
			return nil
		}
		if *at < least || *at > most {
			return operator.NewProblem(operator.Invalid, name, fmt.Sprintf("%d, want %d to %d", *at, least, most), "correct it")
		}
		*to = *at * unit
		return nil
	}
	memory, swap := l.MemoryMax, l.Ceilings.Swap
	for _, f := range []struct {
		name        string
		at          *int64
		least, most int64
		unit        int64
		to          *int64
	}{
		{"memoryMiB", r.MemoryMiB, 16, 512 << 10, 1 << 20, &memory},
		{"cpuMHz", r.CPUMHz, 0, 10_000_000, 1, &l.CPUMHz},
		{"pids", r.PIDs, 16, 1_000_000, 1, &l.PIDs},
		{"diskMiB", r.DiskMiB, 64, 16 << 20, 1 << 20, &l.DiskBytes},
		{"readKiB", r.ReadKiB, 0, 1 << 30, 1 << 10, &l.Ceilings.ReadBytes},
		{"writeKiB", r.WriteKiB, 0, 1 << 30, 1 << 10, &l.Ceilings.WriteBytes},
		{"readOps", r.ReadOps, 0, 1<<32 - 2, 1, &l.Ceilings.ReadOps},
		{"writeOps", r.WriteOps, 0, 1<<32 - 2, 1, &l.Ceilings.WriteOps},
		{"netInKbit", r.NetInKbit, 0, 34_000_000, 1000, &l.Ceilings.NetIn},
		{"netOutKbit", r.NetOutKbit, 0, 34_000_000, 1000, &l.Ceilings.NetOut},
		{"swapMiB", r.SwapMiB, -1, 512 << 10, 1 << 20, &swap},
	} {
		if p := within(f.name, f.at, f.least, f.most, f.unit, f.to); p != nil {
			return c, l, p
		}
	}
	l.Ceilings.Swap = max(swap, -1)
	if r.MemoryMiB != nil {
		l.MemoryMax, l.MemoryMin = memory, min(l.MemoryMin, memory)
		l.MemoryHigh = max(memory-memory/16, l.MemoryMin)
	}
	return c, l, nil
}

// SizeOf is what a node may use, for people.
func SizeOf(c wire.Cloudlets, of host.Container) operator.NodeSize {
	size := limitsOf(c, of.Limits)
	size.CTID = of.CTID
	for _, v := range of.Volumes {
		size.Volumes = append(size.Volumes, operator.VolumeSize{Name: v.Name, DiskMiB: v.Bytes >> 20})
	}
	return size
}

func limitsOf(c wire.Cloudlets, l host.Limits) operator.NodeSize {
	of := func(n int64) *int64 { return &n }
	swap := l.Ceilings.Swap
	if swap > 0 {
		swap >>= 20
	}
	return operator.NodeSize{Cloudlets: c, MemoryMiB: l.MemoryMax >> 20, CPUMHz: l.CPUMHz, PIDs: l.PIDs,
		DiskMiB: l.DiskBytes >> 20,
		Rates: operator.Rates{ReadKiB: of(l.Ceilings.ReadBytes >> 10), WriteKiB: of(l.Ceilings.WriteBytes >> 10),
			ReadOps: of(l.Ceilings.ReadOps), WriteOps: of(l.Ceilings.WriteOps), NetInKbit: of(l.Ceilings.NetIn / 1000),
			NetOutKbit: of(l.Ceilings.NetOut / 1000), SwapMiB: of(swap)}}
}
