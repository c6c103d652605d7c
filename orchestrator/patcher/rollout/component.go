package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// KindComponent patches a component of the platform: its host replaces it by its image of the release, and goes back by itself unless that
// is confirmed.
const KindComponent = "component"

// The deeds for components.
const (
	Replace  Deed = "replace"   // try the component's image of the release
	Confirm  Deed = "confirm"   // let it stay
	TakeBack Deed = "take-back" // end the trial
)

// The steps of a component's visit: try lasts until the new version runs and its check passes, watch until it has done so for long
// enough, confirm until its host may forget the former one.
const (
	stepTry     = "try"
	stepConfirm = "confirm"
)

// last are the components in the order in which they are patched, those not named first, by number: what serves pages before what decides,
// the Patcher itself at the end.
var last = []string{"orchestrator", "patcher"}

// usualReplaced is how long a component is expected not to serve while it is replaced.
const usualReplaced = 5 * time.Second

// ComponentTime is how many seconds the host of a component gives a version to be confirmed.
func ComponentTime(p operator.RolloutPolicy) int64 { return min(7200, p.BootSec+p.HealthSec) }

// trialTime is how long a step may last: the host has gone back by itself before that, and has been seen to have.
func (e *engine) trialTime() time.Duration {
	return time.Duration(ComponentTime(e.r.Policy))*time.Second + e.rules.scaled(5*time.Minute)
}

// planComponents are the visits of the components that do not run the release's image, and those that are refused.
func planComponents(seen Seen, rules Rules) (visits []operator.PlannedVisit, refused []operator.RolloutRefusal) {
	list := slices.Clone(seen.Components)
	slices.SortFunc(list, func(a, b operator.Component) int {
		return cmp.Or(slices.Index(last, a.Name)-slices.Index(last, b.Name), int(a.CTID-b.CTID))
	})
	seconds := int64(rules.scaled(usualReplaced) / time.Second)
	for _, c := range list {
		reason, next := "", "wait for the end of that, then patch again"
		switch {
		case c.Offered == "":
			continue // the release has none: it stays as it is
		case c.Trial != nil:
			reason = fmt.Sprintf("release %s of it is tried by %s", c.Trial.Release, c.Trial.By)
		case c.Image == c.Offered:
			continue
		case c.Image == "":
			reason = "its host does not say which image it runs"
			next = "wait until the host is ACTIVE; one of a release before components were patched takes another release first"
		case c.State != "running":
			reason = strings.TrimSuffix(fmt.Sprintf("it is %s: %s", c.State, c.Reason), ": ")
			next = "mend it first: hnctl node logs " + c.CTID.String()
		}
		if reason != "" {
			refused = append(refused, operator.RolloutRefusal{Host: c.Host, Name: nameOf(c), Runs: c.Release, Reason: reason, Next: next})
			continue
		}
		v := operator.PlannedVisit{Host: c.Host, Name: nameOf(c), Role: KindComponent, Runs: c.Release, Kind: KindComponent,
			Component: c.Name, Image: c.Offered, Seconds: seconds, Basis: "a usual component"}
		n := operator.PlannedNode{CTID: c.CTID, Env: "jelastic", Component: c.Name, Fate: "stopped", OutageSec: seconds,
			Why: "it is replaced where it is"}
		if runsBeside(c.Name) {
			v.Seconds, v.Basis = 0, "the version before serves until the new one does, beside it"
			n.Fate, n.OutageSec, n.Why = "replaced", 0, v.Basis
		}
		v.Nodes = []operator.PlannedNode{n}
		visits = append(visits, v)
	}
	return visits, refused
}

// runsBeside tells whether a component's host runs its next version beside the one before, so that it is never away.
func runsBeside(component string) bool { return component == host.ComponentResolver }

// nameOf is a component with its host.
func nameOf(c operator.Component) string { return c.HostName + "/" + c.Name }

// component is the one of a visit as it was seen, or nil.
func (e *engine) component(v *operator.RolloutVisit) *operator.Component {
	for i := range e.components {
		if c := &e.components[i]; c.Name == v.Component {
			return c
		}
	}
	return nil
}

// firstComponent begins the visit of a component, or ends it when there is nothing to do.
func (e *engine) firstComponent(v *operator.RolloutVisit) {
	c := e.component(v)
	switch {
	case c == nil:
		e.end1(v, operator.VisitSkipped, "the platform has no such component any more")
		return
	case c.Trial == nil && c.Image == v.Image:
		e.end1(v, operator.VisitDone, "it ran the release already")
		return
	case c.State != "running":
		v.Detail = strings.TrimSuffix(fmt.Sprintf("it is %s: %s", c.State, c.Reason), ": ")
		if v.Deadline.IsZero() {
			v.Deadline = e.now.Add(e.rules.scaled(patience))
		} else if e.now.After(v.Deadline) {
			e.end1(v, operator.VisitSkipped, v.Detail)
		}
		return
	}
	v.State, v.From, v.Began = operator.VisitRunning, c.Release, e.now
	e.enter(v, kinds[v.Kind][0], nil)
	e.visit(v)
}

// wentBack says why a component runs its former version again, or "".
func wentBack(v *operator.RolloutVisit, c *operator.Component, release string) string {
	if c.Trial == nil && c.Failed != nil && c.Failed.Release == release && !c.Failed.At.Before(v.Began.Add(-2*time.Second)) {
		return c.Failed.Reason
	}
	return ""
}

func (e *engine) try(v *operator.RolloutVisit, _ *Host) result {
	c := e.component(v)
	switch {
	case c == nil:
		return waits("", "the component to be seen")
	case wentBack(v, c, e.r.Release) != "":
		return bad("%s", wentBack(v, c, e.r.Release))
	case c.Trial == nil && c.Image == v.Image && c.State == "running":
		return result{done: true}
	case c.Trial == nil:
		return waits(Replace, "the order to be taken")
	case c.Trial.Image != string(v.Image):
		return waits("", "the end of another trial: release %s, by %s", c.Trial.Release, c.Trial.By)
	case c.Trial.Runs:
		return result{done: true}
	}
	return waits("", "%s", strings.TrimSuffix(fmt.Sprintf("the new version to serve: it is %s: %s", c.State, c.Reason), ": "))
}

// watchComponent looks at a component for as long as the policy says, without a break.
func (e *engine) watchComponent(v *operator.RolloutVisit, _ *Host) result {
	c := e.component(v)
	switch {
	case c == nil:
		return waits("", "the component to be seen")
	case wentBack(v, c, e.r.Release) != "":
		return bad("%s", wentBack(v, c, e.r.Release))
	case c.State != "running" || c.Image != v.Image:
		v.Well = time.Time{}
		return waits("", "%s", strings.TrimSuffix(fmt.Sprintf("it is %s: %s", c.State, c.Reason), ": "))
	case c.Restarts > e.r.Policy.Restarts:
		return bad("it restarted %d times, at most %d are allowed", c.Restarts, e.r.Policy.Restarts)
	case v.Well.IsZero():
		v.Well = e.now
	}
	if want := time.Duration(e.r.Policy.HealthSec) * time.Second; e.now.Sub(v.Well) < want {
		return waits("", "well for %s of %s", e.now.Sub(v.Well).Round(time.Second), want)
	}
	return result{done: true}
}

func (e *engine) confirm(v *operator.RolloutVisit, _ *Host) result {
	c := e.component(v)
	switch {
	case c == nil:
		return waits("", "the component to be seen")
	case c.Trial == nil && c.Image == v.Image:
		return result{done: true}
	case wentBack(v, c, e.r.Release) != "":
		return bad("%s", wentBack(v, c, e.r.Release))
	case c.Trial == nil:
		return waits("", "its host to say what it runs")
	}
	return waits(Confirm, "its host to keep the new version")
}

// componentBack is the way to what a component ran before. Its host knows it too, without a word.
func (e *engine) componentBack(v *operator.RolloutVisit) result {
	c := e.component(v)
	switch {
	case c == nil:
		return waits("", "the component to be seen")
	case c.Trial != nil && c.Trial.Image == string(v.Image):
		return waits(TakeBack, "the former version to be wanted again")
	case c.State != "running":
		return waits("", "%s", strings.TrimSuffix(fmt.Sprintf("it is %s: %s", c.State, c.Reason), ": "))
	}
	return result{done: true}
}
