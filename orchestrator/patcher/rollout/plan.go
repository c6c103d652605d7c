package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/release"
)

// usualAway is how long a host is expected to be away when nothing is known of it, and nodeStart how long its nodes take after that.
const (
	usualAway = 90 * time.Second
	nodeStart = 10 * time.Second
)

// Earlier is how long visits took, in seconds: of each host the last one.
type Earlier map[wire.HostID]float64

// PlanOf says what a rollout of a release would do to the hosts as they were seen. A Problem says why there can be none at all.
func PlanOf(want operator.Release, seen Seen, p operator.RolloutPolicy, before Earlier,
	rules Rules) (operator.RolloutPlan, *operator.Problem) {
	if err := Check(p); err != nil {
		return operator.RolloutPlan{}, operator.NewProblem(operator.Invalid, "policy", err.Error(),
			"correct it; see hnctl patch plan --help")
	}
	plan := operator.RolloutPlan{Release: want.Version, Severity: string(severityOf(want.Severity)), Cohorts: []operator.PlannedCohort{}}
	var may []operator.PlannedVisit
	for i := range seen.Hosts {
		h := &seen.Hosts[i]
		if h.runs() == want.Version {
			plan.Already = append(plan.Already, h.Name)
			continue
		}
		if reason, next := refusal(want, h); reason != "" {
			plan.Refused = append(plan.Refused, operator.RolloutRefusal{Host: h.ID, Name: h.Name, Runs: h.runs(), Reason: reason,
				Next: next})
			continue
		}
		may = append(may, planned(h, p, before, rules))
	}
	plan.Policy = Filled(p, want.Severity, len(may), rules)
	canary, problem := canaryOf(may, p.Canary)
	if problem != nil {
		return plan, problem
	}
	components, refused := planComponents(seen, rules)
	plan.Refused = append(plan.Refused, refused...)
	plan.Cohorts = cohortsOf(may, canary, components, plan.Policy)
	if len(plan.Cohorts) == 0 {
		return plan, nil
	}
	plan.Seconds, plan.Warnings = duration(plan), warnings(plan)
	return plan, nil
}

// duration is how long a rollout of the plan is expected to take, in seconds.
func duration(plan operator.RolloutPlan) (seconds int64) {
	for _, c := range plan.Cohorts {
		visits := int64(0)
		for _, v := range c.Hosts {
			visits += visitSeconds(plan.Policy, v.Seconds)
		}
		seconds += visits/int64(min(max(1, plan.Policy.Away), len(c.Hosts))) + c.SoakSec
	}
	return seconds
}

// warnings are what the one who starts it should know.
func warnings(plan operator.RolloutPlan) (out []string) {
	for _, c := range plan.Cohorts {
		for _, v := range c.Hosts {
			if v.Role == infra && v.Kind != KindHot {
				out = append(out, fmt.Sprintf("host %s runs the platform: its API and panel, the registry and the pages behind its "+
					"resolver are away for about %d s; containers on other hosts go on running", v.Name, v.Seconds))
			}
		}
	}
	if len(plan.Cohorts) == 1 && len(plan.Cohorts[0].Hosts) == 1 && len(plan.Already) == 0 {
		out = append(out, "there is one host only: it is the canary and all there is")
	}
	return out
}

// refusal says why a host is not visited, and what to do about it.
func refusal(want operator.Release, h *Host) (reason, next string) {
	runs, goal := release.Version(h.runs()), release.Version(want.Version)
	switch s := h.System; {
	case !h.State.Answers():
		return away(h), "bring it back, then patch it by another rollout: hnctl host show " + h.Name
	case h.State != operator.HostActive:
		return notFree(h), "let it go, then patch it by another rollout: hnctl host uncordon " + h.Name
	case runs.Validate() == nil && runs.Compare(goal) > 0:
		return fmt.Sprintf("it runs %s, which is newer", h.runs()), "nothing: a release never goes back by a rollout"
	case s == nil:
		return "it says nothing of its system: it is older than releases are", "install it anew once: hnctl host install " + h.Name
	case s.Slot == "":
		return "it is not installed: it runs from a medium or the network, and has no slot to write a release to",
			"hnctl host install " + h.Name
	case s.Wanted != "" && s.State != done && s.State != idle && s.State != failed && s.State != refused:
		return fmt.Sprintf("an order is in force: release %s, which is %s", s.Wanted, s.State),
			"wait for its end, or take it back: hnctl host update " + h.Name + " --cancel"
	}
	for _, f := range want.Floors {
		if runs.Compare(release.Version(f)) < 0 {
			return fmt.Sprintf("it runs %s, and %s is a mandatory stop-over on the way to %s", h.runs(), f, want.Version),
				"patch to that one first: hnctl patch plan " + f
		}
	}
	return "", ""
}

// notFree is why a host is not visited now: it is away, or a person has it out of use, and after a visit it would be in use again.
func notFree(h *Host) string {
	if text := away(h); text != "" {
		return text
	}
	return strings.TrimSuffix(fmt.Sprintf("it is %s: %s", h.State, h.Reason), ": ")
}

// planned is the visit of a host.
func planned(h *Host, p operator.RolloutPolicy, before Earlier, rules Rules) operator.PlannedVisit {
	seconds, basis := expected(h, before, rules)
	v := operator.PlannedVisit{Host: h.ID, Name: h.Name, Role: h.Role, Runs: h.runs(), Kind: KindReboot, Seconds: seconds, Basis: basis}
	switch p.Method {
	case operator.MethodKexec:
		v.Kind, v.Basis = KindKexec, basis+"; without its firmware, whose time is in that; it refuses where that can't be"
	case operator.MethodHot:
		v.Kind, v.Seconds, v.Basis = KindHot, 0, "its programs are replaced while it runs; it refuses if more than those differs"
	case operator.MethodAuto:
		v.Kind, v.Seconds, v.Basis = KindHot, 0, fmt.Sprintf("its programs are replaced while it runs; if more than those differs it is "+
			"booted, by kexec where that can be, which is expected to take %d s", seconds)
	}
	for _, n := range h.Nodes {
		if n.Gone {
			continue
		}
		fate, why := fateOf(h, n, p)
		if v.Kind == KindHot && fate != "down" {
			fate, why = "untouched", "its host is not booted"
		}
		out := operator.PlannedNode{CTID: n.CTID, Env: n.Env, Layer: n.Layer, Component: n.Component, Fate: fate, Why: why}
		if fate == "stopped" {
			out.OutageSec = seconds + int64(rules.scaled(nodeStart)/time.Second)
		}
		v.Nodes = append(v.Nodes, out)
	}
	return v
}

// fateOf is what becomes of a node.
func fateOf(h *Host, n operator.Node, p operator.RolloutPolicy) (fate, why string) {
	stays, known := h.Fates[n.CTID]
	switch {
	case n.State != "running":
		return "down", strings.TrimSuffix("it is "+n.State+": "+n.Reason, ": ")
	case n.Component != "":
		return "stopped", "a component of the platform stays on its host"
	case p.Drain == operator.DrainStop:
		return "stopped", "the policy says so"
	case h.Fates == nil:
		return "stopped", "it is not known whether another host takes it"
	case known:
		return "stopped", stays
	}
	return "replaced", "another node takes its place elsewhere first"
}

// expected is how long a host is expected to be away, and where that is from.
func expected(h *Host, before Earlier, rules Rules) (seconds int64, basis string) {
	if s, ok := before[h.ID]; ok {
		return int64(s + 0.5), "its last visit"
	}
	if len(before) > 0 {
		sum := 0.0
		for _, s := range before {
			sum += s
		}
		return int64(sum/float64(len(before)) + 0.5), fmt.Sprintf("mean of %d visits of other hosts", len(before))
	}
	return int64(rules.scaled(usualAway) / time.Second), "nothing is known of it: a usual host"
}

// loss orders hosts by what they have to lose.
func loss(a, b operator.PlannedVisit) int {
	stopped := func(v operator.PlannedVisit) (n int) {
		for _, x := range v.Nodes {
			if x.Fate == "stopped" {
				n++
			}
		}
		return n
	}
	return cmp.Or(cmp.Compare(btoi(a.Role == infra), btoi(b.Role == infra)), stopped(a)-stopped(b), len(a.Nodes)-len(b.Nodes),
		strings.Compare(a.Name, b.Name))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// canaryOf chooses the host that is patched first.
func canaryOf(may []operator.PlannedVisit, named string) (operator.PlannedVisit, *operator.Problem) {
	if len(may) == 0 {
		return operator.PlannedVisit{}, nil
	}
	if named == "" {
		return slices.MinFunc(may, loss), nil
	}
	for _, v := range may {
		if v.Name == named || string(v.Host) == named {
			return v, nil
		}
	}
	return operator.PlannedVisit{}, operator.NewProblem(operator.Invalid, "policy.canary",
		fmt.Sprintf("host %q is none that this release would be patched to", named), "choose one of the plan's hosts: hnctl patch plan")
}

// cohortsOf puts the hosts into cohorts: the canary, then the others by what they have to lose, then the components, the infra hosts last.
func cohortsOf(may []operator.PlannedVisit, canary operator.PlannedVisit, components []operator.PlannedVisit,
	p operator.RolloutPolicy) (out []operator.PlannedCohort) {
	var users, infras []operator.PlannedVisit
	for _, v := range may {
		switch {
		case v.Host == canary.Host && (v.Role != infra || p.Canary != ""):
		case v.Role == infra:
			infras = append(infras, v)
		default:
			users = append(users, v)
		}
	}
	slices.SortFunc(users, loss)
	slices.SortFunc(infras, loss)
	if len(infras)+len(users) < len(may) {
		users = append([]operator.PlannedVisit{canary}, users...)
	}
	for _, n := range cohortSizes(p, len(users)) {
		out = append(out, operator.PlannedCohort{Hosts: users[:n:n], SoakSec: int64(soak(p, len(out)+1) / time.Second)})
		users = users[n:]
	}
	for _, more := range [][]operator.PlannedVisit{components, infras} {
		if len(more) > 0 {
			out = append(out, operator.PlannedCohort{Hosts: more, SoakSec: int64(soak(p, len(out)+1) / time.Second)})
		}
	}
	return out
}

// Start is the rollout of a plan.
func Start(plan operator.RolloutPlan, id, by string, now time.Time) (operator.Rollout, *operator.Problem) {
	if len(plan.Cohorts) == 0 {
		why := fmt.Sprintf("no host is to be patched: %d run %s already, %d are refused", len(plan.Already), plan.Release,
			len(plan.Refused))
		if len(plan.Refused) > 0 {
			why += fmt.Sprintf(", such as %s: %s", plan.Refused[0].Name, plan.Refused[0].Reason)
		}
		return operator.Rollout{}, operator.NewProblem(operator.Conflict, "releases/"+plan.Release, why,
			"see hnctl patch plan "+plan.Release)
	}
	r := operator.Rollout{ID: id, Release: plan.Release, Severity: plan.Severity, By: by, State: operator.RolloutRunning,
		Policy: plan.Policy, Created: now, Updated: now, Cohort: 1, Cohorts: len(plan.Cohorts), LeftSec: plan.Seconds,
		Refused: plan.Refused, Seen: now}
	for i, c := range plan.Cohorts {
		for _, v := range c.Hosts {
			r.Visits = append(r.Visits, operator.RolloutVisit{Host: v.Host, Name: v.Name, Role: v.Role, Cohort: i + 1, Kind: v.Kind,
				Component: v.Component, Image: v.Image, From: v.Runs, State: operator.VisitPending, ExpectSec: v.Seconds})
		}
	}
	return r, nil
}
