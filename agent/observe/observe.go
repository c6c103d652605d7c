// Package observe turns what the container runtime and the image store see into what agent/plan reads.
//
// Owns: the translation, and nothing else.
// In: container.Observed values, the images on disk.
// Out: plan.Seen and plan.Image values, counters for statuses.
// Never: asks the kernel itself, or decides anything.
package observe

import (
	"slices"
	"strings"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/container/limits"
	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/tune"
)

// Containers is the runtime's list as the plan sees it, beside what work wants. cpuMax is what a ceiling in MHz means on this host
// (container.StartSpec).
func Containers(list []container.Observed, work *host.Work, cpuMax func(mhz int64) int64) map[wire.CTID]plan.Seen {
	wanted := map[wire.CTID]host.Container{}
	if work != nil {
		for _, c := range work.Containers {
			wanted[c.CTID] = c
		}
	}
	out := make(map[wire.CTID]plan.Seen, len(list))
	for _, o := range list {
		s := plan.Seen{CTID: o.CTID, Generation: o.Generation, Boot: o.Spec.Boot, Started: o.Started, Restarts: o.Restarts,
			Trouble: o.Trouble, Memory: memory(o)}
		for _, v := range o.InVolumes {
			s.Volumes = append(s.Volumes, v.Name)
		}
		switch o.State {
		case container.StateRunning:
			s.Running, s.Booting = true, o.Booting
			if c, ok := wanted[o.CTID]; ok {
				drift := []string{o.Set.Drift(c.Limits, cpuMax(c.Limits.CPUMHz)), limits.VolumeDrift(o.InVolumes, c.Volumes)}
				s.Drift = strings.Join(slices.DeleteFunc(drift, func(d string) bool { return d == "" }), "; ")
			}
		case container.StateExited:
			s.Exited, s.ExitCode = o.Exited, o.ExitCode
			if s.Left = plan.Left(o.Left); s.Left == plan.LeftReboot && o.Exited.Sub(o.Started) < plan.MinUp {
				s.Left = ""
			}
			if s.Exited.IsZero() { // the spawner was replaced meanwhile: that it ended is all that is known
				s.Exited = o.Started
			}
		case container.StateOrphan:
			s.Orphan = true
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

func memory(o container.Observed) plan.Memory {
	return plan.Memory{Times: o.OOM.Times, Last: o.OOM.String(), At: o.OOM.At, Ended: o.OOMKilled}
}

// Problems is what the host tells of containers that ran out of memory, by CTID.
func Problems(list []container.Observed, now time.Time) (out []host.Problem) {
	for _, o := range list {
		why := memory(o).News(now)
		if why == "" {
			continue
		}
		id := o.CTID.String()
		more := "hnctl node resize " + id + " --memory MIB"
		next := "see why the process needs so much (hnctl node top " + id + "), or give it more memory: " + more
		switch {
		case o.Spec.Component != "":
			next = "see what it did: hnctl node logs " + o.Spec.Component
		case o.OOM.Command:
			next = "the container's own program goes on; commands of that size need more memory: " + more
		}
		out = append(out, host.Problem{Code: "exhausted", Object: "container " + id, Reason: why, Next: next, CTID: o.CTID})
	}
	return out
}

// Count fills the counters of the statuses in; crowded are the containers that have as many connections as one may, tuned says what their
// servers made of their size.
func Count(statuses []host.ContainerStatus, list []container.Observed, crowded map[wire.CTID]bool, tuned func(wire.CTID) tune.Tuned) {
	at := make(map[wire.CTID]container.Observed, len(list))
	for _, o := range list {
		at[o.CTID] = o
	}
	for i := range statuses {
		if o, ok := at[statuses[i].CTID]; ok {
			statuses[i].MemoryBytes, statuses[i].CPUMicros, statuses[i].DiskBytes = o.MemoryBytes, o.CPUMicros, o.DiskBytes
			statuses[i].Volumes, statuses[i].Strain = o.InVolumes, o.Strain
			statuses[i].Tuned = tuned(o.CTID)
			if crowded[o.CTID] {
				statuses[i].Strain.Connections = 1
			}
		}
	}
}
