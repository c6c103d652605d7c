package plan

import (
	"cmp"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// leave decides while the machine is being left: what runs is stopped, all of it at once; nothing is removed, changed, fetched or started.
func leave(in Input) Output {
	var out Output
	stopped := func(id wire.CTID, generation int64) host.ContainerStatus {
		return host.ContainerStatus{CTID: id, Generation: generation, State: host.CtStopped, Reason: in.Leaving}
	}
	for id, s := range in.Seen {
		st := stopped(id, s.Generation)
		st.ExitCode, st.Restarts = s.ExitCode, s.Restarts
		if s.Running || s.Orphan {
			st.State = host.CtStopping
			step, wake := paced(in, id, Step{Kind: Stop, CTID: id, Reason: in.Leaving})
			if step != nil {
				out.Steps = append(out.Steps, *step)
			}
			out.Wake = sooner(out.Wake, wake)
		}
		if s.Running {
			st.Started = s.Started
		}
		out.Statuses = append(out.Statuses, st)
	}
	if in.Work != nil {
		for _, c := range in.Work.Containers {
			if _, seen := in.Seen[c.CTID]; !seen && !c.Remove {
				out.Statuses = append(out.Statuses, stopped(c.CTID, c.Generation))
			}
		}
	}
	slices.SortFunc(out.Steps, func(a, b Step) int { return cmp.Compare(a.CTID, b.CTID) })
	slices.SortFunc(out.Statuses, func(a, b host.ContainerStatus) int { return cmp.Compare(a.CTID, b.CTID) })
	return out
}
