package rollout

import (
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// silence is how long the platform may not be seen without the deadlines of what is under way moving. What nobody looked at, nobody can
// call late: not while the Patcher was down, the platform's API away, or the clock set.
const silence = 30 * time.Second

// The roles: user hosts are drained, infra hosts are visited one at a time, after all others.
const (
	user  = "user"
	infra = "infra"
)

// engine is one decision.
type engine struct {
	r     *operator.Rollout
	hosts map[wire.HostID]*Host

	components []operator.Component
	now        time.Time
	rules      Rules
	do         []Action
}

// Next is the rollout after a look at the platform, and what is to be done now. The rollout is to be kept before anything is done.
func Next(r operator.Rollout, seen Seen, rules Rules) (operator.Rollout, []Action) {
	if r.State.Final() {
		return r, nil
	}
	r.Visits = slices.Clone(r.Visits)
	e := &engine{r: &r, hosts: map[wire.HostID]*Host{}, components: seen.Components, now: seen.At, rules: rules}
	for i := range seen.Hosts {
		e.hosts[seen.Hosts[i].ID] = &seen.Hosts[i]
	}
	e.silent()
	for i := range r.Visits {
		if v := &r.Visits[i]; v.State == operator.VisitRunning {
			e.visit(v)
		}
	}
	e.brakes()
	if r.State == operator.RolloutRunning {
		e.begin()
	}
	for i := range r.Visits {
		if v := &r.Visits[i]; v.State == operator.VisitGoing {
			e.goBack(v)
		}
	}
	if r.State == operator.RolloutStopping && !slices.ContainsFunc(r.Visits, inFlight) {
		e.end(r.Outcome)
	}
	e.count()
	r.Updated = e.now
	return r, e.do
}

func inFlight(v operator.RolloutVisit) bool {
	return v.State == operator.VisitRunning || v.State == operator.VisitGoing
}

// silent moves the deadlines by the time in which nobody looked.
func (e *engine) silent() {
	gap := e.now.Sub(e.r.Seen)
	was := e.r.Seen
	e.r.Seen = e.now
	if was.IsZero() || gap.Abs() <= e.rules.scaled(silence) {
		return
	}
	for i := range e.r.Visits {
		v := &e.r.Visits[i]
		if !v.Deadline.IsZero() {
			v.Deadline = v.Deadline.Add(gap)
		}
		if !v.Well.IsZero() {
			v.Well = e.now
		}
	}
	if e.r.SoakUntil.After(was) {
		e.r.SoakUntil = e.r.SoakUntil.Add(gap)
	}
	e.r.AwaySince = time.Time{}
}

// visit takes a visit as far as it goes at this look.
func (e *engine) visit(v *operator.RolloutVisit) {
	steps := kinds[v.Kind]
	for {
		i := slices.IndexFunc(steps, func(s step) bool { return s.name == v.Step })
		h := e.hosts[v.Host]
		switch {
		case h == nil:
			e.end1(v, operator.VisitSkipped, "the host was removed from the cluster")
			return
		case i < 0: // of a later Patcher
			e.fail(v, fmt.Sprintf("this Patcher knows no step %q of kind %q", v.Step, v.Kind))
			return
		}
		found := steps[i].look(e, v, h)
		switch {
		case found.bad != "":
			e.fail(v, found.bad)
			return
		case found.kind != "":
			v.Kind, steps = found.kind, kinds[found.kind]
			e.enter(v, steps[0], h)
			continue
		case found.done && i == len(steps)-1:
			e.end1(v, operator.VisitDone, "")
			return
		case found.done:
			e.enter(v, steps[i+1], h)
			continue
		case e.now.After(v.Deadline):
			e.fail(v, fmt.Sprintf("not done within %s: waited for %s", steps[i].within(e), found.waits))
			return
		}
		e.ask(v, found)
		return
	}
}

// enter begins a step.
func (e *engine) enter(v *operator.RolloutVisit, s step, h *Host) {
	v.Step, v.Owner, v.Since, v.Deadline, v.Detail = s.name, s.owner, e.now, e.now.Add(s.within(e)), ""
	switch s.name {
	case stepSwitch:
		v.Asked, v.Boot = e.now, h.Boot
	case stepTry:
		v.Asked = e.now
	case stepHealth:
		v.TookSec = e.now.Sub(v.Asked).Seconds()
	case stepWatch:
		if v.Component != "" {
			if !runsBeside(v.Component) {
				v.TookSec = e.now.Sub(v.Asked).Seconds()
			}
			return
		}
		v.Back, v.Restarts = true, 0
		for _, n := range h.Nodes {
			if slices.Contains(v.Running, n.CTID) {
				v.Restarts += n.Restarts
			}
		}
	}
}

// ask notes what a visit waits for, and asks for what brings it on.
func (e *engine) ask(v *operator.RolloutVisit, found result) {
	v.Detail = found.waits
	if found.do != "" {
		e.do = append(e.do, Action{Do: found.do, Component: v.Component, Host: v.Host, Name: v.Name,
			Reason: fmt.Sprintf("rollout %s of release %s, step %s: %s", e.r.ID, e.r.Release, v.Step, found.waits)})
	}
}

// fail is the end of a visit that does not come to its end: it is taken back.
func (e *engine) fail(v *operator.RolloutVisit, why string) {
	v.FailedIn, v.Reason = v.Step, why
	if v.Symptom == nil {
		v.Symptom = &operator.RolloutSymptom{At: e.now, Host: v.Host, Name: v.Name, What: why}
	}
	e.turn(v)
}

// turn takes a visit back.
func (e *engine) turn(v *operator.RolloutVisit) {
	v.State, v.Step, v.Owner, v.Since, v.Detail = operator.VisitGoing, stepBack, ownHost, e.now, ""
	v.Deadline = e.now.Add(2 * e.bootTime())
	v.Asked = time.Time{}
}

// goBack takes a visit that goes back as far as it goes at this look.
func (e *engine) goBack(v *operator.RolloutVisit) {
	h := e.hosts[v.Host]
	if h == nil {
		e.end1(v, operator.VisitSkipped, "the host was removed from the cluster")
		return
	}
	found := result{}
	if v.Component != "" {
		found = e.componentBack(v)
	} else {
		found = e.back(v, h)
	}
	switch {
	case found.done:
		e.end1(v, operator.VisitBack, v.Reason)
	case e.now.After(v.Deadline):
		e.end1(v, operator.VisitFailed, fmt.Sprintf("%s; and it was not taken back within %s: waited for %s", v.Reason, 2*e.bootTime(),
			found.waits))
	default:
		e.ask(v, found)
	}
}

// end1 ends one visit.
func (e *engine) end1(v *operator.RolloutVisit, s operator.VisitState, why string) {
	v.State, v.Reason, v.Detail, v.Ended, v.Deadline, v.Owner = s, why, "", e.now, time.Time{}, ""
	if s == operator.VisitDone {
		v.Step, v.Well = "", time.Time{}
	}
}

// begin begins visits: of the cohort under way, in a window, as many at once as may be.
func (e *engine) begin() {
	r := e.r
	for !slices.ContainsFunc(r.Visits, func(v operator.RolloutVisit) bool { return v.Cohort == r.Cohort && !v.State.Final() }) {
		if !e.soaked() {
			return
		}
	}
	if open, next := window(r.Policy.Windows, e.now); !open {
		r.Reason = "no window is open; the next one opens at " + next.UTC().Format(time.RFC3339)
		if next.IsZero() {
			r.Reason = "no window ever opens"
		}
		return
	}
	r.Reason = ""
	for i := range r.Visits {
		v := &r.Visits[i]
		if v.State != operator.VisitPending || v.Cohort != r.Cohort {
			continue
		}
		others := e.flying()
		if len(others) >= r.Policy.Away || len(others) > 0 && v.Role != user {
			break
		}
		e.first(v, others)
	}
}

// soaked takes the rollout from a cohort whose visits have ended to the next one; false: it is still watched, or the rollout has ended.
func (e *engine) soaked() bool {
	r := e.r
	one := slices.ContainsFunc(r.Visits, func(v operator.RolloutVisit) bool {
		return v.Cohort == r.Cohort && v.State == operator.VisitDone
	})
	switch {
	case !one && r.Cohort == 1:
		why := "the canary was not patched"
		var sign *operator.RolloutSymptom
		for _, v := range r.Visits {
			if v.Cohort == 1 && v.Reason != "" {
				why, sign = fmt.Sprintf("the canary %s was not patched: %s", v.Name, v.Reason), v.Symptom
			}
		}
		e.stop(operator.RolloutStopped, why, sign)
		return false
	case one && r.SoakUntil.IsZero():
		r.SoakUntil = e.now.Add(soak(r.Policy, r.Cohort))
	}
	if e.now.Before(r.SoakUntil) {
		r.Reason = fmt.Sprintf("cohort %d of %d is watched until %s", r.Cohort, r.Cohorts, r.SoakUntil.UTC().Format(time.RFC3339))
		return false
	}
	if r.Cohort >= r.Cohorts {
		e.end(operator.RolloutDone)
		return false
	}
	r.Cohort, r.SoakUntil = r.Cohort+1, time.Time{}
	return true
}

// flying are the visits under way.
func (e *engine) flying() (out []*operator.RolloutVisit) {
	for i := range e.r.Visits {
		if inFlight(e.r.Visits[i]) {
			out = append(out, &e.r.Visits[i])
		}
	}
	return out
}

// first begins a visit, or ends it when there is nothing to do.
func (e *engine) first(v *operator.RolloutVisit, others []*operator.RolloutVisit) {
	if v.Component != "" {
		e.firstComponent(v)
		return
	}
	h := e.hosts[v.Host]
	switch {
	case h == nil:
		e.end1(v, operator.VisitSkipped, "the host was removed from the cluster")
		return
	case h.State != operator.HostActive:
		v.Detail = notFree(h)
		if len(others) == 0 { // nothing else is to be done first: it is not waited for
			e.end1(v, operator.VisitSkipped, v.Detail)
		}
		return
	case h.runs() == e.r.Release:
		e.end1(v, operator.VisitDone, "it ran the release already")
		return
	case !h.Asked || h.System == nil:
		v.Detail = "what the host runs and says of its system"
		return
	}
	for _, o := range others {
		if twin := twins(h, e.hosts[o.Host]); twin != "" {
			v.Detail = fmt.Sprintf("the visit of host %s, which has nodes of %s too", o.Name, twin)
			return
		}
	}
	v.State, v.From, v.Began, v.Boot, v.Problems, v.Running = operator.VisitRunning, h.runs(), e.now, h.Boot, len(h.Problems), nil
	restarts := 0
	for _, n := range h.Nodes {
		if n.State == "running" && !n.Gone {
			v.Running = append(v.Running, n.CTID)
		}
		restarts += n.Restarts
	}
	v.RestartsHour = 0
	if len(h.Boots) > 0 { // nodes count their restarts from then on
		v.RestartsHour = float64(restarts) / max(time.Hour, e.now.Sub(h.Boots[0].At)).Hours()
	}
	e.enter(v, kinds[v.Kind][0], h)
	e.visit(v)
}

// twins is a layer that has nodes on both hosts, "" if there is none. Both at once must not be away.
func twins(a, b *Host) string {
	if b == nil {
		return ""
	}
	have := map[string]bool{}
	for _, n := range a.Nodes {
		if n.Component == "" && !n.Gone {
			have[string(n.Env)+"/"+string(n.Layer)] = true
		}
	}
	for _, n := range b.Nodes {
		if name := string(n.Env) + "/" + string(n.Layer); have[name] && !n.Gone {
			return name
		}
	}
	return ""
}

// end ends the rollout.
func (e *engine) end(s operator.RolloutState) {
	r := e.r
	r.State, r.Ended, r.SoakUntil, r.Outcome = s, e.now, time.Time{}, ""
	if s == operator.RolloutDone {
		r.Reason = ""
	}
	for _, v := range r.Visits {
		if v.State == operator.VisitFailed {
			r.Reason = joined(r.Reason, fmt.Sprintf("host %s needs a person: %s", v.Name, v.Reason))
		}
	}
}

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// count says how far it is, and how long the rest is expected to take.
func (e *engine) count() {
	r := e.r
	ended, left, soaks := 0, int64(0), int64(0)
	seen := 0
	for _, v := range r.Visits {
		each := visitSeconds(r.Policy, v.ExpectSec)
		if v.Cohort > seen {
			seen = v.Cohort
			if v.Cohort > r.Cohort || v.Cohort == r.Cohort && r.SoakUntil.IsZero() {
				soaks += int64(soak(r.Policy, v.Cohort) / time.Second)
			}
		}
		switch {
		case v.State.Final():
			ended++
		case inFlight(v):
			left += max(0, each-int64(e.now.Sub(v.Began)/time.Second))
		default:
			left += each
		}
	}
	if !r.SoakUntil.IsZero() {
		soaks += max(0, int64(r.SoakUntil.Sub(e.now)/time.Second))
	}
	r.LeftSec = left/int64(max(1, r.Policy.Away)) + soaks
	r.Progress = 100
	if len(r.Visits) > 0 {
		r.Progress = 100 * ended / len(r.Visits)
	}
	if r.State.Final() {
		r.LeftSec = 0
	} else {
		r.Progress = min(r.Progress, 99)
	}
}

// visitSeconds is how long one visit is expected to take.
func visitSeconds(p operator.RolloutPolicy, expect int64) int64 { return expect + p.HealthSec + 60 }
