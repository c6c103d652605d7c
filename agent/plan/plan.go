// Package plan decides what a host does next to become what its Assignment says.
//
// Owns: the decision: which steps, in which order, each with its reason; the state of every container as it is reported.
// In: the wanted containers, the observed ones, images, history of failures, and the time: plain values.
// Out: steps for agent/apply, statuses for host.Report, and whether everything wanted is done.
// Never: does I/O, keeps state between calls, reads the clock, or touches what is right.
//
// One call yields at most one step for each container. The step after it follows from what the next observation shows, so the agent
// may be killed between any two lines and goes on where it was.
//
//	absent ─Fetch→ image present ─Start→ running ─(limits differ)→ Resize
//	running ─(generation differs, new image present)→ Stop → stopped → Start, which takes along of the layer before what stays
//	running ─(run: false)→ Stop; ─(absent from Work or remove: true)→ Stop → Remove
//	running or stopped ─(has a volume that was dropped)→ Drop
//	exited ─(back-off over)→ Start; ─(rebooted)→ Start at once; ─(powered off)→ nothing, until work or a person stops it
package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Kind is what a step does.
type Kind string

// The kinds, in the order they are carried out: what frees resources comes first.
const (
	Stop   Kind = "stop"   // stop the processes, keep the data
	Remove Kind = "remove" // delete the container with all its data
	Drop   Kind = "drop"   // delete volumes that were dropped
	Resize Kind = "resize" // set the limits of a running container
	Fetch  Kind = "fetch"  // get an image; CTID is the first container that waits for it
	Start  Kind = "start"  // create it if it is absent, and run it
)

var rank = map[Kind]int{Stop: 0, Remove: 1, Drop: 2, Resize: 3, Fetch: 4, Start: 5}

// Step is one thing to do, and why.
type Step struct {
	Kind    Kind
	CTID    wire.CTID
	Reason  string
	Want    host.Container // Start, Resize, Fetch: the container as it shall be
	Volumes []string       // Drop
}

// Output is the decision.
type Output struct {
	Steps    []Step
	Statuses []host.ContainerStatus // counters are filled in by the caller
	Settled  bool                   // every container of Work is as it shall be, or broken until Work changes
	Wake     time.Time              // when to look again because of a back-off; zero: no need
}

// Times of the restart back-off: a run shorter than MinRun counts as a failure.
const (
	MinRun     = 10 * time.Second
	MinUp      = time.Second     // a full OS that reboots sooner fails
	bootWithin = 5 * time.Minute // after that a full OS that has not become ready is failing
	backoffMin = 500 * time.Millisecond
	backoffMax = 30 * time.Second
)

// Decide compares what shall be with what is.
func Decide(in Input) Output {
	out := Output{Settled: true}
	if in.Leaving != "" {
		return leave(in)
	}
	if in.Work == nil {
		for _, s := range in.Seen {
			out.Statuses = append(out.Statuses, unassigned(s))
		}
		out.Settled = false
		slices.SortFunc(out.Statuses, func(a, b host.ContainerStatus) int { return cmp.Compare(a.CTID, b.CTID) })
		return out
	}
	wanted := make(map[wire.CTID]bool, len(in.Work.Containers))
	fetching := make(map[wire.Digest]bool)
	for _, c := range in.Work.Containers {
		wanted[c.CTID] = true
		st, step, wake := one(in, c)
		if step == nil {
			step, wake = dropped(in, c, wake)
		}
		if step != nil && step.Kind == Fetch {
			if fetching[c.Image.Digest] {
				step = nil
			}
			fetching[c.Image.Digest] = true
		}
		if st != nil {
			out.Statuses = append(out.Statuses, *st)
		}
		if step != nil {
			out.Steps = append(out.Steps, *step)
		}
		if !settled(in, c) {
			out.Settled = false
		}
		out.Wake = sooner(out.Wake, wake)
	}
	for id, s := range in.Seen {
		if wanted[id] {
			continue
		}
		step, wake := away(in, s, fmt.Sprintf("not in work revision %d", in.Work.Revision))
		if step != nil {
			out.Steps = append(out.Steps, *step)
		}
		out.Wake = sooner(out.Wake, wake)
		out.Settled = false
		out.Statuses = append(out.Statuses, leaving(s, in.History[id]))
	}
	slices.SortFunc(out.Steps, func(a, b Step) int {
		return cmp.Or(cmp.Compare(rank[a.Kind], rank[b.Kind]), cmp.Compare(a.CTID, b.CTID))
	})
	slices.SortFunc(out.Statuses, func(a, b host.ContainerStatus) int { return cmp.Compare(a.CTID, b.CTID) })
	return out
}

// one decides for one wanted container.
func one(in Input, c host.Container) (*host.ContainerStatus, *Step, time.Time) {
	seen, exists := in.Seen[c.CTID]
	h := in.History[c.CTID]
	switch {
	case c.Remove && !exists:
		return nil, nil, time.Time{}
	case c.Remove:
		step, wake := away(in, seen, "work says remove")
		st := leaving(seen, h)
		return &st, step, wake
	case !c.Run && exists && (seen.Running || seen.Orphan || seen.Left == LeftPowerOff): // else it would be off when it is wanted again
		st := status(c, seen, host.CtStopping, h.StopErr)
		step, wake := paced(in, seen.CTID, Step{Kind: Stop, CTID: c.CTID, Want: c, Reason: "work says stop"})
		return &st, step, wake
	case !c.Run:
		st := status(c, seen, host.CtStopped, "")
		return &st, nil, time.Time{}
	}
	if exists && seen.Orphan {
		st := status(c, seen, host.CtWaiting, "ending processes nobody supervises")
		step, wake := paced(in, c.CTID, Step{Kind: Stop, CTID: c.CTID, Want: c, Reason: "processes nobody supervises"})
		return &st, step, wake
	}
	if exists && seen.Running && seen.Generation == c.Generation && seen.Boot < c.Boot {
		reason := fmt.Sprintf("start %d wanted, %d runs", c.Boot, seen.Boot)
		st := status(c, seen, host.CtWaiting, cmp.Or(h.StopErr, "it is started anew"))
		step, wake := paced(in, c.CTID, Step{Kind: Stop, CTID: c.CTID, Want: c, Reason: reason})
		return &st, step, wake
	}
	if exists && seen.Running && seen.Generation == c.Generation {
		return running(in, c, seen, h)
	}
	if h.Generation == c.Generation && h.Boot == c.Boot && h.Permanent {
		st := status(c, seen, host.CtBroken, h.StartErr)
		return &st, nil, time.Time{}
	}
	if img := in.Images[c.Image.Digest]; !img.Present {
		return waitForImage(in, c, seen, h, img)
	}
	if exists && seen.Generation != c.Generation && seen.Running {
		reason := fmt.Sprintf("generation %d wanted, %d is here", c.Generation, seen.Generation)
		st := status(c, seen, host.CtWaiting, "replacing generation "+fmt.Sprint(seen.Generation))
		step, wake := paced(in, c.CTID, Step{Kind: Stop, CTID: c.CTID, Want: c, Reason: reason})
		return &st, step, wake
	}
	return notRunning(in, c, seen, exists, h)
}

// dropped deletes what is here of volumes that a container had once, unless what runs was started with them. A container that waits for
// something else may wait on.
func dropped(in Input, c host.Container, wake time.Time) (*Step, time.Time) {
	seen, exists := in.Seen[c.CTID]
	if !exists || seen.Orphan || seen.Running && (seen.Generation != c.Generation || seen.Boot < c.Boot) {
		return nil, wake
	}
	var names []string
	for _, name := range c.Dropped {
		if slices.Contains(seen.Volumes, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, wake
	}
	step, at := paced(in, c.CTID, Step{Kind: Drop, CTID: c.CTID, Want: c, Volumes: names,
		Reason: "dropped with their data: volumes " + strings.Join(names, ", ")})
	return step, sooner(wake, at)
}

// running decides for a container that runs the wanted generation.
func running(in Input, c host.Container, seen Seen, h History) (*host.ContainerStatus, *Step, time.Time) {
	state, reason := host.CtRunning, ""
	if c.Check != nil {
		switch hl := in.Health[c.CTID]; {
		case !hl.Checked:
			state, reason = host.CtStarting, "check has not passed yet"
		case !hl.OK:
			state, reason = host.CtFailing, hl.Reason
			if in.Now.Sub(seen.Started) < MinRun {
				state = host.CtStarting
			}
		}
	}
	if c.Check == nil && seen.Booting {
		state, reason = host.CtStarting, "its init has not said yet that it is ready"
		if in.Now.Sub(seen.Started) > bootWithin {
			state, reason = host.CtFailing, fmt.Sprintf("its init has not said within %s that it is ready: hnctl node console", bootWithin)
		}
	}
	st := status(c, seen, state, cmp.Or(reason, seen.Memory.News(in.Now)))
	if seen.Drift == "" {
		return &st, nil, time.Time{}
	}
	step, wake := paced(in, c.CTID, Step{Kind: Resize, CTID: c.CTID, Want: c, Reason: seen.Drift})
	if h.StopErr != "" && st.Reason == "" {
		st.Reason = "its limits are not the wanted ones: " + h.StopErr
	}
	return &st, step, wake
}

// notRunning decides for a wanted container whose image is here and that does not run.
func notRunning(in Input, c host.Container, seen Seen, exists bool, h History) (*host.ContainerStatus, *Step, time.Time) {
	same := exists && (seen.Generation == c.Generation || seen.Generation == 0)
	if same && seen.Left == LeftPowerOff && seen.Boot >= c.Boot {
		st := status(c, seen, host.CtStopped, "it was powered off from inside: hnctl node restart "+c.CTID.String()+" starts it")
		return &st, nil, time.Time{}
	}
	start := Step{Kind: Start, CTID: c.CTID, Want: c, Reason: "wanted and not here"}
	state, why := host.CtWaiting, "starting"
	var at time.Time
	switch {
	case h.Generation == c.Generation && h.StartErr != "":
		state, why = host.CtFailing, h.StartErr
		at = h.FailedAt.Add(backoff(h.Short))
		start.Reason = "start failed before: " + h.StartErr
	case exists && !same:
		start.Reason = fmt.Sprintf("generation %d wanted, %d is here", c.Generation, seen.Generation)
		why = "replacing generation " + fmt.Sprint(seen.Generation)
	case exists && seen.Left == LeftReboot:
		start.Reason, why = "it rebooted", "it reboots"
	case exists && !seen.Exited.IsZero():
		state, why = host.CtFailing, fmt.Sprintf("exited with code %d", seen.ExitCode)
		if seen.Memory.Ended {
			why += ": " + seen.Memory.Last
		}
		at = seen.Exited.Add(backoff(h.Short))
		start.Reason = why
	case exists:
		start.Reason = "wanted and stopped"
	}
	if at.After(in.Now) {
		st := status(c, seen, state, why)
		// as time of day, in tenths of a second; the wait itself goes by the monotonic clock
		st.NextStart = at.UTC().Round(time.Second / 10)
		return &st, nil, at
	}
	st := status(c, seen, state, why)
	return &st, &start, time.Time{}
}

// waitForImage decides for a container whose image is not here. What runs under an older generation goes on meanwhile.
func waitForImage(in Input, c host.Container, seen Seen, h History, img Image) (*host.ContainerStatus, *Step, time.Time) {
	step := Step{Kind: Fetch, CTID: c.CTID, Want: c, Reason: "image " + string(c.Image.Name) + " is not here"}
	state, reason := host.CtWaiting, "fetching image "+string(c.Image.Name)
	if img.Err != "" {
		reason = img.Err
		if img.Wrong {
			state = host.CtBroken
		}
		step.Reason = "fetch failed before: " + img.Err
	}
	st := status(c, seen, state, reason)
	if img.RetryAt.After(in.Now) {
		return &st, nil, img.RetryAt
	}
	return &st, &step, time.Time{}
}

// away takes a container off this host.
func away(in Input, s Seen, reason string) (*Step, time.Time) {
	if s.Running || s.Orphan {
		return paced(in, s.CTID, Step{Kind: Stop, CTID: s.CTID, Reason: reason})
	}
	return paced(in, s.CTID, Step{Kind: Remove, CTID: s.CTID, Reason: reason})
}

// paced holds a step back while an earlier one on the same container failed a moment ago.
func paced(in Input, id wire.CTID, s Step) (*Step, time.Time) {
	h := in.History[id]
	if h.StopErr == "" {
		return &s, time.Time{}
	}
	if at := h.FailedAt.Add(backoff(max(h.Short, 1))); at.After(in.Now) {
		return nil, at
	}
	s.Reason += " (failed before: " + h.StopErr + ")"
	return &s, time.Time{}
}

// settled tells whether nothing is left to do for c until something happens.
func settled(in Input, c host.Container) bool {
	seen, exists := in.Seen[c.CTID]
	h := in.History[c.CTID]
	switch {
	case c.Remove:
		return !exists
	case !c.Run:
		return !seen.Running && !seen.Orphan
	case h.Generation == c.Generation && h.Boot == c.Boot && (h.Permanent || h.StartErr != ""), in.Images[c.Image.Digest].Wrong:
		return true
	}
	return exists && seen.Generation == c.Generation && (seen.Running && seen.Boot >= c.Boot && seen.Drift == "" || !seen.Exited.IsZero())
}

// backoff is how long after failure number n the next attempt comes: at once after a long run (n is 0), then doubling.
func backoff(n int) time.Duration {
	if n == 0 {
		return 0
	}
	return run.Backoff(n-1, backoffMin, backoffMax, 0.5)
}

func status(c host.Container, s Seen, state host.ContainerState, reason string) host.ContainerStatus {
	st := host.ContainerStatus{CTID: c.CTID, Generation: c.Generation, Boot: c.Boot, State: state, Reason: reason, ExitCode: s.ExitCode}
	if s.Running {
		st.Started = s.Started
	}
	if s.Generation == c.Generation {
		st.Restarts = s.Restarts
	}
	if st.Reason == "" {
		st.Reason = s.Trouble
	}
	return st
}

func leaving(s Seen, h History) host.ContainerStatus {
	st := host.ContainerStatus{CTID: s.CTID, Generation: s.Generation, State: host.CtStopped, Reason: "being removed", ExitCode: s.ExitCode}
	if s.Running || s.Orphan {
		st.State = host.CtStopping
	}
	if s.Running {
		st.Started = s.Started
	}
	switch {
	case h.StopErr != "":
		st.Reason += ": " + h.StopErr
	case s.Trouble != "":
		st.Reason += ": " + s.Trouble
	}
	return st
}

func unassigned(s Seen) host.ContainerStatus {
	st := host.ContainerStatus{CTID: s.CTID, Generation: s.Generation, State: host.CtStopped, Reason: "no assignment has been seen",
		ExitCode: s.ExitCode}
	if s.Running {
		st.State, st.Started = host.CtRunning, s.Started
	}
	return st
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
