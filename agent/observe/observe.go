// Package observe turns what the container runtime and the image store see into what agent/plan reads.
//
// Owns: the translation, and nothing else.
// In: container.Observed values, the images on disk.
// Out: plan.Seen and plan.Image values, counters for statuses.
// Never: asks the kernel itself, or decides anything.
package observe

import (
	"hardnode.dev/agent/container"
	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Containers is the runtime's list as the plan sees it. limits holds what was last set where that is newer than the spec a container was
// started with.
func Containers(list []container.Observed, limits map[wire.CTID]host.Limits) map[wire.CTID]plan.Seen {
	out := make(map[wire.CTID]plan.Seen, len(list))
	for _, o := range list {
		s := plan.Seen{CTID: o.CTID, Generation: o.Generation, Started: o.Started, Limits: o.Spec.Limits, Restarts: o.Restarts}
		switch o.State {
		case container.StateRunning:
			s.Running = true
		case container.StateExited:
			s.Exited, s.ExitCode = o.Exited, o.ExitCode
			if s.Exited.IsZero() { // the spawner was replaced meanwhile: that it ended is all that is known
				s.Exited = o.Started
			}
		case container.StateOrphan:
			s.Orphan = true
		}
		if l, ok := limits[o.CTID]; ok && s.Running {
			s.Limits = l
		}
		out[o.CTID] = s
	}
	return out
}

// Images is what is known of every image that work names: whether it is here, and what became of the last fetch.
func Images(work *host.Work, path func(wire.Digest) (string, bool), failed map[wire.Digest]plan.Image) map[wire.Digest]plan.Image {
	if work == nil {
		return nil
	}
	out := map[wire.Digest]plan.Image{}
	for _, c := range work.Containers {
		d := c.Image.Digest
		if _, done := out[d]; done {
			continue
		}
		if _, here := path(d); here {
			out[d] = plan.Image{Present: true}
			continue
		}
		out[d] = failed[d]
	}
	return out
}

// Count fills the counters of the statuses in.
func Count(statuses []host.ContainerStatus, list []container.Observed) {
	at := make(map[wire.CTID]container.Observed, len(list))
	for _, o := range list {
		at[o.CTID] = o
	}
	for i := range statuses {
		if o, ok := at[statuses[i].CTID]; ok {
			statuses[i].MemoryBytes, statuses[i].CPUMicros, statuses[i].DiskBytes = o.MemoryBytes, o.CPUMicros, o.DiskBytes
		}
	}
}
