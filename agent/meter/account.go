package meter

import (
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/usage"
)

// mark is what a container's counters were, and whose they were: a container that was started again has another cgroup, whose counters
// begin at nothing; so do those of a link that was made anew.
type mark struct {
	Cgroup uint64 `json:"cgroup,omitempty"` // its inode, mixed with the boot's name
	At     int64  `json:"at,omitempty"`     // nanoseconds since the boot, of the reading
	CPU    int64  `json:"cpu,omitempty"`
	Read   int64  `json:"read,omitempty"`
	Wrote  int64  `json:"wrote,omitempty"`
	Reads  int64  `json:"reads,omitempty"`
	Writes int64  `json:"writes,omitempty"`
	In     int64  `json:"in,omitempty"`
	Out    int64  `json:"out,omitempty"`
}

// reading is what was read of one container at once.
type reading struct {
	mark
	memory, ram, peak, disk int64 // bytes; ram is what of memory counts as used, and what is swapped out
}

// account is what is known of one container since its last record.
type account struct {
	last    mark
	open    usage.Record // End and Revision come when it is closed
	gone    bool         // its cgroup is not there any more
	whose   Whose
	samples []usage.Record
}

// keepSamples is how many of the last samples are kept.
const keepSamples = int(10 * time.Minute / every)

// take adds a reading; a long time after the one before, which may be an earlier agent's, it is about all of that time.
func (a *account) take(id wire.CTID, r reading, now time.Time, revision wire.Revision) {
	was, took := a.last, time.Duration(r.At-a.last.At)
	if was.Cgroup != r.Cgroup {
		was, took = mark{}, every // at most: it is new
	}
	grown := func(now, before int64) int64 {
		if now < before {
			return now // it began anew
		}
		return now - before
	}
	s := usage.Record{CTID: id, Revision: revision, End: now.Unix(), Seconds: took.Seconds(), MemoryMean: r.memory,
		MemoryPeak: r.memory, RAMMean: r.ram, RAMPeak: r.ram, RAMPeakAt: now.Unix(), CPUMicros: grown(r.CPU, was.CPU),
		Read: grown(r.Read, was.Read), Written: grown(r.Wrote, was.Wrote), Reads: grown(r.Reads, was.Reads),
		Writes: grown(r.Writes, was.Writes), NetIn: grown(r.In, was.In), NetOut: grown(r.Out, was.Out), Disk: r.disk}
	if took > 0 {
		s.CPUPeak = int64(float64(s.CPUMicros) / took.Seconds())
	}
	a.last, a.gone = r.mark, false
	a.open = a.open.Add(s)
	a.open.MemoryPeak = max(a.open.MemoryPeak, r.peak)
	if a.samples = append(a.samples, s); len(a.samples) > keepSamples {
		a.samples = a.samples[1:]
	}
}
