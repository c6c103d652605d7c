package rollout

import (
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// patience is how long hosts may be unreachable, or a committed one unwell, before it counts: a network has moments, and the platform's own
// host is away while it is visited.
const patience = time.Minute

// brakes stop the rollout when something is wrong. Nobody has to watch it.
func (e *engine) brakes() {
	r := e.r
	if r.State != operator.RolloutRunning && r.State != operator.RolloutPaused {
		return
	}
	budget := 0
	var sign *operator.RolloutSymptom
	for i := range r.Visits {
		v := &r.Visits[i]
		switch {
		case v.FailedIn == "":
		case v.Cohort == 1, !slices.Contains(harmless, v.FailedIn):
			e.stop(operator.RolloutStopped, fmt.Sprintf("host %s, step %s: %s", v.Name, v.FailedIn, v.Reason), v.Symptom)
			return
		default:
			budget++
			sign = earlier(sign, v.Symptom)
		}
		if v.State == operator.VisitDone && v.Cohort == r.Cohort && e.sick(v) {
			e.stop(operator.RolloutStopped, fmt.Sprintf("host %s, after its visit: %s", v.Name, v.Symptom.What), v.Symptom)
			return
		}
	}
	lost, first := e.lost()
	switch {
	case lost == 0 || budget+lost <= r.Policy.Budget:
		r.AwaySince = time.Time{}
	case r.AwaySince.IsZero():
		r.AwaySince = e.now
	}
	late := lost > 0 && !r.AwaySince.IsZero() && e.now.Sub(r.AwaySince) >= e.rules.scaled(patience)
	if !late {
		lost = 0
	}
	if budget+lost > r.Policy.Budget {
		why := fmt.Sprintf("%d hosts did not take the release and %d are unreachable, at most %d may be", budget, lost, r.Policy.Budget)
		if late {
			sign = earlier(sign, first)
		}
		if sign != nil {
			why += fmt.Sprintf("; first host %s: %s", sign.Name, sign.What)
		}
		e.stop(operator.RolloutStopped, why, sign)
	}
}

// sick tells whether a host that was committed is worse than before, for too long; its Symptom is the first sign.
func (e *engine) sick(v *operator.RolloutVisit) bool {
	h := e.hosts[v.Host]
	if h == nil || !v.Back || h.State.Answers() && !h.Asked {
		return false
	}
	sign, severe := e.worse(v, h)
	if sign == nil {
		v.Symptom = nil
		return false
	}
	if v.Symptom == nil {
		v.Symptom = sign
	}
	return severe || e.now.Sub(v.Symptom.At) >= e.rules.scaled(patience)
}

// lost are the hosts that are unreachable and have no reason to be: they are no part of a visit, and were not when the rollout began.
func (e *engine) lost() (n int, first *operator.RolloutSymptom) {
	fine := map[wire.HostID]bool{}
	for _, v := range e.r.Visits {
		if v.Component != "" {
			fine[v.Host] = fine[v.Host] || inFlight(v)
			continue
		}
		fine[v.Host] = fine[v.Host] || inFlight(v) || v.State == operator.VisitSkipped || v.State == operator.VisitFailed
	}
	for _, f := range e.r.Refused {
		fine[f.Host] = true
	}
	names := []string{}
	for id, h := range e.hosts {
		if fine[id] || h.State != operator.HostUnreachable && h.State != operator.HostBroken && h.State != operator.HostFenced {
			continue
		}
		n++
		if names = append(names, h.Name); first == nil || h.Name < first.Name {
			first = &operator.RolloutSymptom{At: e.now, Host: id, Name: h.Name, What: away(h)}
		}
	}
	return n, first
}

func earlier(a, b *operator.RolloutSymptom) *operator.RolloutSymptom {
	if a == nil || b != nil && b.At.Before(a.At) {
		return b
	}
	return a
}

// stop begins the end: what is under way and not committed is taken back.
func (e *engine) stop(outcome operator.RolloutState, why string, sign *operator.RolloutSymptom) {
	r := e.r
	r.State, r.Outcome, r.Reason, r.SoakUntil = operator.RolloutStopping, outcome, why, time.Time{}
	if r.Symptom == nil {
		r.Symptom = sign
	}
	for i := range r.Visits {
		v := &r.Visits[i]
		if v.State == operator.VisitRunning {
			v.Reason = "the rollout was stopped: " + why
			e.turn(v)
		}
	}
}

// Pause holds a rollout: no visit begins.
func Pause(r operator.Rollout, by string, now time.Time) (operator.Rollout, *operator.Problem) {
	if r.State != operator.RolloutRunning {
		return r, notNow(r, "paused")
	}
	r.State, r.Reason, r.Updated = operator.RolloutPaused, "paused by "+by, now
	return r, nil
}

// Resume lets it go on.
func Resume(r operator.Rollout, by string, now time.Time) (operator.Rollout, *operator.Problem) {
	if r.State != operator.RolloutPaused {
		return r, notNow(r, "resumed")
	}
	r.State, r.Reason, r.Updated = operator.RolloutRunning, "resumed by "+by, now
	return r, nil
}

// Abort ends it: what was not committed is taken back.
func Abort(r operator.Rollout, by string, rules Rules, now time.Time) (operator.Rollout, *operator.Problem) {
	if r.State != operator.RolloutRunning && r.State != operator.RolloutPaused {
		return r, notNow(r, "aborted")
	}
	r.Visits = slices.Clone(r.Visits)
	e := &engine{r: &r, now: now, rules: rules}
	e.stop(operator.RolloutAborted, "aborted by "+by, nil)
	r.Updated = now
	return r, nil
}

func notNow(r operator.Rollout, what string) *operator.Problem {
	return operator.NewProblem(operator.Conflict, "rollouts/"+r.ID, fmt.Sprintf("it is %s, and can't be %s", r.State, what),
		"see hnctl patch status "+r.ID)
}

// Refused is the rollout after the platform refused an action for good.
func Refused(r operator.Rollout, a Action, why string, rules Rules, now time.Time) operator.Rollout {
	r.Visits = slices.Clone(r.Visits)
	e := &engine{r: &r, now: now, rules: rules}
	for i := range r.Visits {
		v := &r.Visits[i]
		switch {
		case v.Host != a.Host || v.Component != a.Component:
		case v.State == operator.VisitRunning:
			e.fail(v, why)
		case v.State == operator.VisitGoing:
			v.Detail = fmt.Sprintf("%s: %s", a.Do, why)
		}
	}
	return r
}

// Drained is the rollout with the operation of a visit's drain.
func Drained(r operator.Rollout, host wire.HostID, op wire.OperationID) operator.Rollout {
	r.Visits = slices.Clone(r.Visits)
	for i := range r.Visits {
		if r.Visits[i].Host == host && r.Visits[i].Step == stepDrain {
			r.Visits[i].Operation = op
		}
	}
	return r
}
