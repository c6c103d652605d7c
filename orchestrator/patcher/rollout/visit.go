package rollout

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// The kinds of visits.
const (
	KindReboot = "reboot" // the host boots its other slot
	KindKexec  = "kexec"  // likewise, but its kernel starts it without the firmware; whether that can be is for the host to say
	KindHot    = "hot"    // its programs are replaced while it runs; whether nothing else differs is for the host to say
)

// step is one row of a visit's table.
type step struct {
	name   string
	owner  string // who has to bring it to its end
	within func(*engine) time.Duration
	look   func(*engine, *operator.RolloutVisit, *Host) result
}

// result is what a look at a step found.
type result struct {
	done  bool
	waits string // what it waits for
	do    Deed   // what to ask for meanwhile; "": nothing
	bad   string // why it will not come to its end
	kind  string // the visit is to be of another kind, from the beginning
}

func waits(do Deed, format string, args ...any) result {
	return result{waits: fmt.Sprintf(format, args...), do: do}
}

func bad(format string, args ...any) result { return result{bad: fmt.Sprintf(format, args...)} }

// The steps. Stage comes before drain: what a host runs is moved or stopped only when the release is on its disk, whole and read back from
// there (a host says "staged" for nothing less), so that no node waits for a download. The host commits the release by itself at the end of
// health; then it is uncordoned, which starts the nodes that the drain stopped, and watched: what is worse then is taken back still.
const (
	stepCordon   = "cordon"
	stepStage    = "stage"
	stepDrain    = "drain"
	stepSwitch   = "switch"
	stepReplace  = "replace"
	stepHealth   = "health"
	stepUncordon = "uncordon"
	stepWatch    = "watch"
	stepBack     = "back"
)

// The owners.
const (
	ownPatcher      = "patcher"
	ownOrchestrator = "orchestrator"
	ownHost         = "host"
)

// booted is the table of the visits in which a host boots its other slot.
func booted(look func(*engine, *operator.RolloutVisit, *Host) result) []step {
	return []step{
		{stepCordon, ownOrchestrator, fixed(2 * time.Minute), (*engine).cordon},
		{stepStage, ownHost, fixed(30 * time.Minute), (*engine).stage},
		{stepDrain, ownOrchestrator, fixed(15 * time.Minute), (*engine).drain},
		{stepSwitch, ownHost, (*engine).bootTime, look},
		{stepHealth, ownHost, (*engine).bootTime, (*engine).health},
		{stepUncordon, ownOrchestrator, fixed(5 * time.Minute), (*engine).uncordon},
		{stepWatch, ownPatcher, (*engine).watchTime, (*engine).watch},
	}
}

// kinds are the tables of all kinds of visits. Another kind is another table.
var kinds = map[string][]step{
	KindComponent: {
		{stepTry, ownHost, (*engine).trialTime, (*engine).try},
		{stepWatch, ownPatcher, (*engine).trialTime, (*engine).watchComponent},
		{stepConfirm, ownOrchestrator, (*engine).trialTime, (*engine).confirm},
	},
	KindReboot: booted((*engine).boot),
	KindKexec:  booted((*engine).kexec),
	KindHot: {
		{stepStage, ownHost, fixed(30 * time.Minute), (*engine).stage},
		{stepReplace, ownHost, (*engine).bootTime, (*engine).replace},
		{stepWatch, ownPatcher, (*engine).watchTime, (*engine).watch},
	},
}

// harmless are the steps in which a host that fails runs what it ran before, without having been booted.
var harmless = []string{stepCordon, stepStage, stepDrain}

func fixed(d time.Duration) func(*engine) time.Duration {
	return func(e *engine) time.Duration { return e.rules.scaled(d) }
}

// bootTime is how long a host may be between the order and its being well or back by itself: what it gives the release, what its containers
// have to end, and its firmware.
func (e *engine) bootTime() time.Duration {
	return time.Duration(e.r.Policy.BootSec)*time.Second + e.rules.scaled(5*time.Minute)
}

func (e *engine) watchTime() time.Duration {
	return time.Duration(e.r.Policy.HealthSec)*time.Second + e.rules.scaled(5*time.Minute)
}

// away is what a host waits for while it does not answer; "" when it does.
func away(h *Host) string {
	if h.State.Answers() {
		return ""
	}
	return strings.TrimSuffix(fmt.Sprintf("the host is %s: %s", h.State, h.Reason), ": ")
}

func (e *engine) cordon(_ *operator.RolloutVisit, h *Host) result {
	if !h.Cordoned {
		return waits(Cordon, "nothing new may be placed on it")
	}
	return result{done: true}
}

func (e *engine) stage(v *operator.RolloutVisit, h *Host) result {
	s := h.System
	switch {
	case s == nil:
		return waits("", "what the host says of its system")
	case s.Slot == "":
		return bad("the host is not installed any more: it has no slots")
	case s.Wanted != "" && s.WantedAt.Before(v.Began.Add(-2*time.Second)): // of who came before
		return waits(Forget, "an order of before to be taken back: release %s", s.Wanted)
	case s.Wanted == e.r.Release && (s.Step == string(Hot) || s.Step == string(Kexec)): // of before the visit became one of another kind
		return waits(Forget, "the order by %s to be taken back", s.Step)
	case s.Wanted != e.r.Release:
		return waits(Stage, "the order to be taken")
	case !s.Took:
		return waits("", "%s", orElse(away(h), "the host to take up the order"))
	case s.State == staged:
		return result{done: true}
	case s.State == failed, s.State == refused:
		return bad("%s", orElse(s.Reason, "the host says "+s.State))
	}
	text := s.State
	if s.Total > 0 {
		text += fmt.Sprintf(", %d of %d MiB", s.Bytes>>20, s.Total>>20)
	}
	return waits("", "%s", strings.Join(nonEmpty(away(h), text, s.Reason), ": "))
}

func (e *engine) drain(v *operator.RolloutVisit, h *Host) result {
	if e.r.Policy.Drain == operator.DrainStop || v.Role != user { // what other hosts run does not leave them
		return result{done: true}
	}
	op := h.Drain
	switch {
	case op == nil:
		return waits(Drain, "its nodes to be replaced elsewhere, as far as they can be")
	case op.State == operator.OpDone:
		return result{done: true}
	case op.State.Final():
		why := string(op.State)
		if op.Problem != nil {
			why = op.Problem.Error()
		}
		return bad("operation %s: %s", op.ID, why)
	}
	text := fmt.Sprintf("operation %s", op.ID)
	for _, s := range op.Steps {
		if s.State == operator.OpRunning {
			text += ": " + strings.Join(nonEmpty(s.Name, s.Detail), ": ")
		}
	}
	return waits("", "%s", text)
}

// boot is the step from the order to boot to the host's being there again, on the release or on what it ran before.
func (e *engine) boot(v *operator.RolloutVisit, h *Host) result { return e.boots(v, h, Switch) }

// kexec is likewise, by the host's kernel. Where that can't be, nothing of the host was touched.
func (e *engine) kexec(v *operator.RolloutVisit, h *Host) result {
	s, why := h.System, ""
	switch {
	case s == nil || s.Wanted != e.r.Release || s.Step != string(Kexec) || !s.Took:
	case s.State == failed && strings.Contains(s.Reason, host.NotKexec):
		why = s.Reason
	case s.State == staged: // of before there was kexec: it takes an order that it does not know for one to stage
		why = "the release that the host runs does not know kexec: it only staged this one"
	}
	switch {
	case why == "":
		return e.boots(v, h, Kexec)
	case e.r.Policy.Method == operator.MethodAuto:
		return result{kind: KindReboot}
	}
	return bad("%s", why)
}

func (e *engine) boots(v *operator.RolloutVisit, h *Host, by Deed) result {
	s := h.System
	switch {
	case s == nil:
		return waits("", "%s", orElse(away(h), "what the host says of its system"))
	case h.Boot != v.Boot && h.State.Answers() && h.runs() == e.r.Release:
		return result{done: true}
	case s.Wanted != e.r.Release || s.Step != string(by):
		if h.Boot != v.Boot {
			return waits("", "the host, which has been booted")
		}
		return waits(by, "the order to be taken")
	case s.Took && (s.State == failed || s.State == refused) && h.State.Answers():
		return bad("%s", orElse(s.Reason, "the host says "+s.State))
	case h.Boot != v.Boot && h.State.Answers() && h.runs() == v.From:
		return bad("%s", orElse(s.Reason, "the host is back on "+v.From))
	}
	return waits("", "%s", orElse(away(h), "the host to boot"))
}

// replace is the step from the hot order to the host's having kept the release's programs, or being on what it ran before.
func (e *engine) replace(_ *operator.RolloutVisit, h *Host) result {
	s := h.System
	switch {
	case s == nil:
		return waits("", "%s", orElse(away(h), "what the host says of its system"))
	case s.Wanted != e.r.Release || s.Step != string(Hot):
		return waits(Hot, "the order to be taken")
	case !s.Took || s.State == staged: // the order to stage was of the same release
		return waits("", "%s", orElse(away(h), "the host to take up the order"))
	case (s.State == done || s.State == idle) && h.runs() == e.r.Release:
		return result{done: true}
	case s.State == failed && strings.Contains(s.Reason, host.NotHot) && e.r.Policy.Method == operator.MethodAuto:
		return result{kind: KindKexec}
	case s.State == failed, s.State == refused:
		return bad("%s", orElse(s.Reason, "the host says "+s.State))
	}
	return waits("", "%s", strings.Join(nonEmpty(away(h), s.State, s.Reason, strings.Join(s.Waits, "; ")), ": "))
}

// health is the host's own trial: it commits the release when it is well in all that it must be, and goes back when not in time.
func (e *engine) health(v *operator.RolloutVisit, h *Host) result {
	s := h.System
	switch {
	case s == nil, !h.State.Answers():
		return waits("", "%s", orElse(away(h), "what the host says of its system"))
	case h.runs() != e.r.Release:
		return bad("%s", orElse(s.Reason, "the host went back to "+h.runs()))
	case s.State == done, s.State == idle && s.Wanted == "": // the latter: a person took the order back meanwhile
		return result{done: true}
	case s.State == failed:
		return bad("%s", orElse(s.Reason, "the host says "+s.State))
	}
	return waits("", "%s", strings.Join(nonEmpty(s.State, strings.Join(s.Waits, "; ")), ": "))
}

// watch looks at the host and its nodes for as long as the policy says, without a break.
func (e *engine) watch(v *operator.RolloutVisit, h *Host) result {
	if !h.Asked && h.State.Answers() {
		return waits("", "what the host runs")
	}
	want := time.Duration(e.r.Policy.HealthSec) * time.Second
	if sign, severe := e.worse(v, h); sign != nil {
		v.Well = time.Time{}
		if v.Symptom == nil {
			v.Symptom = sign
		}
		if severe {
			return bad("%s", sign.What)
		}
		return waits("", "%s", sign.What)
	}
	v.Symptom = nil
	if v.Well.IsZero() {
		v.Well = e.now
	}
	if past := e.now.Sub(v.Well); past < want {
		return waits("", "well for %s of %s", past.Round(time.Second), want)
	}
	return result{done: true}
}

func (e *engine) uncordon(_ *operator.RolloutVisit, h *Host) result {
	if h.Cordoned {
		return waits(Uncordon, "nodes may be placed on it again")
	}
	return result{done: true}
}

// back is the way to what a host ran before, from any step.
func (e *engine) back(v *operator.RolloutVisit, h *Host) result {
	s := h.System
	onIt := h.runs() == e.r.Release && e.r.Release != v.From
	switch {
	case away(h) != "":
		return waits("", "%s", away(h))
	case s == nil:
		return waits("", "what the host says of its system")
	case s.Wanted != "":
		return waits(Forget, "the order to be taken back")
	case onIt && e.now.Sub(v.Asked) < e.rules.scaled(2*time.Minute) && v.Boot == h.Boot:
		return waits("", "the host to boot what it ran before")
	case onIt && s.Hot != "" && s.State == trying: // it keeps them, or goes back
		return waits("", "the host to be done with the release's programs")
	case onIt && s.Hot != "":
		v.Asked, v.Boot = e.now, h.Boot
		return waits(Reboot, "the host to boot what it ran before")
	case onIt:
		v.Asked, v.Boot = e.now, h.Boot
		return waits(Rollback, "the host to boot what it ran before")
	case s.State == switching:
		return waits("", "a boot that was ordered already")
	case h.Cordoned:
		return waits(Uncordon, "nodes may be placed on it again")
	}
	return result{done: true}
}

// worse is the first sign that a host on the release is worse than before; severe: no time will heal it.
func (e *engine) worse(v *operator.RolloutVisit, h *Host) (sign *operator.RolloutSymptom, severe bool) {
	says := func(node wire.CTID, format string, args ...any) *operator.RolloutSymptom {
		return &operator.RolloutSymptom{At: e.now, Host: v.Host, Name: v.Name, Node: node, What: fmt.Sprintf(format, args...)}
	}
	switch {
	case !h.State.Answers():
		return says(0, "%s", away(h)), false
	case h.runs() != e.r.Release:
		return says(0, "the host went back to %s", h.runs()), true
	}
	restarts := 0
	for _, n := range h.Nodes {
		if !slices.Contains(v.Running, n.CTID) || n.Gone {
			continue
		}
		restarts += n.Restarts
		switch n.State {
		case "failing", "broken", "waiting", "starting", "unknown":
			if sign == nil {
				sign = says(n.CTID, "%s", strings.TrimSuffix(fmt.Sprintf("node %s of %s/%s ran before and is %s: %s", n.CTID, n.Env,
					n.Layer, n.State, n.Reason), ": "))
			}
		}
	}
	usual := int(math.Ceil(v.RestartsHour * e.now.Sub(v.Since).Hours()))
	if more := restarts - v.Restarts; more > e.r.Policy.Restarts+usual {
		return says(0, "the host's nodes restarted %d times on the release, at most %d are allowed%s", more, e.r.Policy.Restarts+usual,
			map[bool]string{true: fmt.Sprintf(" (before it, %.1f an hour)", v.RestartsHour)}[usual > 0]), true
	}
	if what := e.errors(v, h); what != "" {
		return says(0, "%s", what), true
	}
	if sign == nil && len(h.Problems) > v.Problems {
		sign = says(0, "the host has a problem that it had not before: %s", h.Problems[len(h.Problems)-1])
	}
	return sign, false
}

// errors is an error of the platform's programs on a host that came with the release: of a kind that no host had on another one, or more
// often than on the host that had it most often.
func (e *engine) errors(v *operator.RolloutVisit, h *Host) string {
	before := map[string]int64{} // of each kind, on the host that had most
	for _, x := range e.hosts {
		had := map[string]int64{}
		for _, j := range x.Errors {
			if j.Version != e.r.Release {
				had[j.Fingerprint] += j.Count
			}
		}
		for kind, n := range had {
			before[kind] = max(before[kind], n)
		}
	}
	for _, j := range h.Errors {
		// Times of errors are whole seconds of the host's clock.
		if j.Version != e.r.Release || j.Last.Before(v.Asked.Add(-2*time.Second)) || j.Count <= before[j.Fingerprint] {
			continue
		}
		was := "which no host had before it"
		if n := before[j.Fingerprint]; n > 0 {
			was = fmt.Sprintf("%d times, before it no host more than %d", j.Count, n)
		}
		return fmt.Sprintf("error of %s on the release, %s: %s: %s", j.Component, was, j.Kind, j.Message)
	}
	return ""
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func nonEmpty(texts ...string) (out []string) {
	for _, t := range texts {
		if t != "" {
			out = append(out, t)
		}
	}
	return out
}
