package rollout

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// quick is a policy whose soaks are short.
var quick = operator.RolloutPolicy{CanarySoakSec: 60, SoakSec: 30, HealthSec: 30, BootSec: 300}

func states(r operator.Rollout) string {
	var out []string
	for _, v := range r.Visits {
		out = append(out, v.Name+":"+string(v.State))
	}
	return strings.Join(out, " ")
}

// A good release goes to the canary first, and to nobody else before that was watched; then to more, one at a time.
func TestGoodRelease(t *testing.T) {
	f := newFleet(7)
	f.add("infra", "infra")
	r := f.begins(t, quick)
	most, canary := 0, time.Time{}
	r = f.goes(t, r, func(r operator.Rollout) bool {
		n := 0
		for _, v := range r.Visits {
			if inFlight(v) {
				n++
			}
			if v.Cohort == 1 && v.State == operator.VisitDone && canary.IsZero() {
				canary = f.now
			}
			if v.Cohort > 1 && v.State != operator.VisitPending && f.now.Sub(canary) < time.Minute {
				t.Errorf("host %s is visited %s after the canary", v.Name, f.now.Sub(canary))
			}
			if v.Role == infra && v.State != operator.VisitPending && r.Progress < 80 {
				t.Errorf("the infra host is visited at %d %%", r.Progress)
			}
		}
		most = max(most, n)
		return false
	})
	if r.State != operator.RolloutDone || most != 1 || r.Progress != 100 || r.LeftSec != 0 {
		t.Errorf("%s %q, %d at once, %d %%: %s", r.State, r.Reason, most, r.Progress, states(r))
	}
	for _, v := range r.Visits {
		if v.TookSec < 30 || v.TookSec > 60 || v.Symptom != nil || v.Reason != "" {
			t.Errorf("visit %+v", v)
		}
	}
	for _, m := range f.hosts {
		want := []string{"cordon", "stage", "drain", "switch", "uncordon"}
		if m.Role == infra {
			want = []string{"cordon", "stage", "switch", "uncordon"}
		}
		if !slices.Equal(f.of(m.Name), want) {
			t.Errorf("%s: %v, want %v", m.Name, f.of(m.Name), want)
		}
	}
	if r.Cohorts != 4 {
		t.Errorf("%d cohorts, want 1, 2, 4 and the infra host", r.Cohorts)
	}
}

// A bad release is stopped at the canary, which is back on what it ran; nobody else was touched.
func TestBadRelease(t *testing.T) {
	for _, c := range []struct {
		ails  string
		state operator.VisitState
		did   []string
		says  string // in Reason
		sign  string // in the symptom
	}{
		{"stage", operator.VisitBack, []string{"cordon", "stage", "forget", "uncordon"}, "step stage: the disk is full",
			"the disk is full"},
		{"drain", operator.VisitBack, []string{"cordon", "stage", "drain", "forget", "uncordon"}, "no host has room", "no host has room"},
		{"boot", operator.VisitBack, []string{"cordon", "stage", "drain", "switch", "forget", "uncordon"},
			"step switch: the agent was not ready in time", "the agent was not ready"},
		{"nodes", operator.VisitBack, []string{"cordon", "stage", "drain", "switch", "uncordon", "forget", "rollback"},
			"step watch: not done within", "node 110 of shop/ownh1 ran before and is failing: exited with 1"},
		{"restarts", operator.VisitBack, []string{"cordon", "stage", "drain", "switch", "uncordon", "forget", "rollback"},
			"nodes restarted 4 times", "nodes restarted 4 times"},
		{"dead", operator.VisitFailed, []string{"cordon", "stage", "drain", "switch"}, "needs a person", "not done within"},
	} {
		t.Run(c.ails, func(t *testing.T) {
			f := newFleet(4)
			f.host("h1").ails = c.ails
			p := quick
			p.Canary = "h1"
			r := f.goes(t, f.begins(t, p), nil)
			v := r.Visits[0]
			if r.State != operator.RolloutStopped || v.State != c.state || !strings.Contains(r.Reason, c.says) || r.Symptom == nil ||
				!strings.Contains(r.Symptom.What, c.sign) || r.Symptom.Name != "h1" {
				t.Errorf("%s: %s\nsymptom %+v\n%s", r.State, r.Reason, r.Symptom, states(r))
			}
			if got := f.of("h1"); !slices.Equal(got, c.did) {
				t.Errorf("done: %v, want %v", got, c.did)
			}
			for _, m := range f.hosts {
				if m.Name != "h1" && len(f.of(m.Name)) > 0 {
					t.Errorf("%s was touched: %v", m.Name, f.of(m.Name))
				}
				if m.Version != oldRelease || m.Cordoned && c.state == operator.VisitBack {
					t.Errorf("%s runs %s, cordoned %v", m.Name, m.Version, m.Cordoned)
				}
			}
		})
	}
}

// What comes later stops it too: what is committed stays, what is under way goes back.
func TestBrakes(t *testing.T) {
	away := func(names ...string) func(*fleet) {
		return func(f *fleet) {
			for _, n := range names {
				f.host(n).State, f.host(n).Reason = operator.HostUnreachable, "no report"
			}
		}
	}
	for _, c := range []struct {
		name   string
		policy func(*operator.RolloutPolicy)
		when   func(operator.Rollout) bool // of the trouble
		what   func(*fleet)
		state  operator.RolloutState
		says   string
		want   string // the visits
	}{
		{"a host of the second cohort does not boot", nil, nil, func(f *fleet) { f.host("h3").ails = "boot" }, operator.RolloutStopped,
			"host h3, step switch: the agent was not ready", "h1:done h2:done h3:back h4:pending h5:pending"},
		{"one does not stage, and one may", func(p *operator.RolloutPolicy) { p.Budget = 1 }, nil,
			func(f *fleet) { f.host("h3").ails = "stage" }, operator.RolloutDone, "", "h1:done h2:done h3:back h4:done h5:done"},
		{"one does not stage, and none may", nil, nil, func(f *fleet) { f.host("h3").ails = "stage" }, operator.RolloutStopped,
			"1 hosts did not take the release and 0 are unreachable, at most 0 may be; first host h3: the disk is full",
			"h1:done h2:done h3:back h4:pending h5:pending"},
		{"the canary falls ill while it is watched", func(p *operator.RolloutPolicy) { p.CanarySoakSec = 600 }, nil,
			func(f *fleet) { f.host("h1").ails = "late" }, operator.RolloutStopped,
			"host h1, after its visit: node 111 of shop/web ran before and is broken: its image is damaged",
			"h1:done h2:pending h3:pending h4:pending h5:pending"},
		{"a host goes away that is not visited", nil, func(r operator.Rollout) bool { return r.Visits[1].State == operator.VisitRunning },
			away("h5"), operator.RolloutStopped, "0 hosts did not take the release and 1 are unreachable",
			"h1:done h2:back h3:pending h4:pending h5:pending"},
		{"one goes away, and one may", func(p *operator.RolloutPolicy) { p.Budget = 1 },
			func(r operator.Rollout) bool { return r.Visits[1].State == operator.VisitRunning }, away("h5"), operator.RolloutDone, "",
			"h1:done h2:done h3:done h4:done h5:skipped"},
		{"a host that can't be taken back needs a person", nil, nil,
			func(f *fleet) { f.host("h2").ails = "dead" }, operator.RolloutStopped, "host h2 needs a person",
			"h1:done h2:failed h3:pending h4:pending h5:pending"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(5)
			p := quick
			p.Canary, p.Cohorts = "h1", []int{2}
			if c.policy != nil {
				c.policy(&p)
			}
			r := f.begins(t, p)
			if c.when != nil {
				r = f.goes(t, r, c.when)
			}
			c.what(f)
			r = f.goes(t, r, nil)
			if r.State != c.state || !strings.Contains(r.Reason, c.says) || states(r) != c.want {
				t.Errorf("%s %q\ngot  %s\nwant %s", r.State, r.Reason, states(r), c.want)
			}
			if (r.Symptom == nil) != (c.state == operator.RolloutDone) {
				t.Errorf("symptom %+v", r.Symptom)
			}
		})
	}
}

// Whoever kept the rollout and died before it did anything, or after it did and before it kept more, goes on: a deed twice is a deed once.
func TestKilledAnywhere(t *testing.T) {
	for lost := range 2 {
		f := newFleet(3)
		r := f.begins(t, quick)
		for n := 0; !r.State.Final(); n++ {
			if n > 3000 {
				t.Fatalf("it does not end: %s %s", r.Reason, states(r))
			}
			next, do := Next(r, f.seen(r), Rules{})
			kept := reread(t, next)
			switch {
			case n%3 == 0 && lost == 0: // killed after keeping, before doing
			case n%3 == 0: // killed after doing: what came of it was not kept
				for _, a := range do {
					f.act(a)
				}
			default:
				for _, a := range do {
					if f.act(a); a.Do == Drain {
						kept = Drained(kept, a.Host, "op-1")
					}
				}
			}
			r = kept
			f.advance(5 * time.Second)
		}
		if r.State != operator.RolloutDone {
			t.Errorf("%s %q: %s", r.State, r.Reason, states(r))
		}
		for _, m := range f.hosts {
			if want := []string{"cordon", "stage", "drain", "switch", "uncordon"}; !slices.Equal(f.of(m.Name), want) {
				t.Errorf("%s: %v", m.Name, f.of(m.Name))
			}
		}
	}
}

// reread is a rollout as another process reads it.
func reread(t *testing.T, r operator.Rollout) (out operator.Rollout) {
	t.Helper()
	raw, err := json.Marshal(r)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Hours in which nobody saw the platform make nothing late, and are no soak; a clock that was set is the same.
func TestSilence(t *testing.T) {
	for _, gap := range []time.Duration{5 * time.Hour, -5 * time.Hour} {
		f := newFleet(2)
		r := f.goes(t, f.begins(t, quick), func(r operator.Rollout) bool { return r.Visits[0].Step == stepHealth })
		deadline := r.Visits[0].Deadline
		f.now = f.now.Add(gap)
		for _, m := range f.hosts {
			m.since = m.since.Add(gap)
		}
		r, _ = Next(r, f.seen(r), Rules{})
		if got := r.Visits[0].Deadline.Sub(deadline); r.Visits[0].Step != stepHealth || got < gap-10*time.Second ||
			got > gap+10*time.Second {
			t.Errorf("the deadline moved by %s: %+v", got, r.Visits[0])
		}
		r = f.goes(t, r, func(r operator.Rollout) bool { return !r.SoakUntil.IsZero() })
		left := r.SoakUntil.Sub(f.now)
		f.now = f.now.Add(gap)
		if r, _ = Next(r, f.seen(r), Rules{}); r.Cohort != 1 || r.SoakUntil.Sub(f.now) < left-10*time.Second {
			t.Errorf("%s of the soak are left, were %s", r.SoakUntil.Sub(f.now), left)
		}
		if r = f.goes(t, r, nil); r.State != operator.RolloutDone {
			t.Errorf("%s %q", r.State, r.Reason)
		}
	}
}

func TestPauseResumeAbort(t *testing.T) {
	f := newFleet(3)
	r := f.goes(t, f.begins(t, quick), func(r operator.Rollout) bool { return r.Visits[0].Step == stepStage })
	r, p := Pause(r, "ann", f.now)
	if p != nil {
		t.Fatal(p)
	}
	if _, p := Pause(r, "ann", f.now); p == nil || p.Code != operator.Conflict {
		t.Errorf("paused twice: %v", p)
	}
	end := f.now.Add(time.Hour)
	r = f.goes(t, r, func(operator.Rollout) bool { return f.now.After(end) })
	if r.State != operator.RolloutPaused || states(r) != "h1:done h2:pending h3:pending" || r.Reason != "paused by ann" {
		t.Errorf("%s %q: %s", r.State, r.Reason, states(r))
	}
	if r, p = Resume(r, "ann", f.now); p != nil {
		t.Fatal(p)
	}
	r = f.goes(t, r, func(r operator.Rollout) bool { return r.Visits[1].Step == stepWatch })
	if r, p = Abort(r, "bob", Rules{}, f.now); p != nil {
		t.Fatal(p)
	}
	r = f.goes(t, r, nil)
	if r.State != operator.RolloutAborted || states(r) != "h1:done h2:back h3:pending" || r.Reason != "aborted by bob" {
		t.Errorf("%s %q: %s", r.State, r.Reason, states(r))
	}
	if f.host("h2").Version != oldRelease || f.host("h1").Version != newRelease {
		t.Errorf("h2 runs %s, h1 %s", f.host("h2").Version, f.host("h1").Version)
	}
	if _, p := Abort(r, "bob", Rules{}, f.now); p == nil {
		t.Error("aborted after its end")
	}
}

// Aborted at every step: nothing is left cordoned or ordered, and a host runs what it ran.
func TestAbortAtEachStep(t *testing.T) {
	for _, s := range kinds[KindReboot] {
		f := newFleet(2)
		r := f.goes(t, f.begins(t, quick), func(r operator.Rollout) bool { return r.Visits[0].Step == s.name })
		r, p := Abort(r, "bob", Rules{}, f.now)
		if p != nil {
			t.Fatal(s.name, p)
		}
		r = f.goes(t, r, nil)
		m := f.host(r.Visits[0].Name)
		if r.Visits[0].State != operator.VisitBack || m.Version != oldRelease || m.Cordoned || r.State != operator.RolloutAborted {
			t.Errorf("%s: %s, runs %s, cordoned %v", s.name, states(r), m.Version, m.Cordoned)
		}
	}
}

func TestRefusedAction(t *testing.T) {
	f := newFleet(2)
	r := f.begins(t, quick)
	r, do := Next(r, f.seen(r), Rules{})
	if len(do) != 1 || do[0].Do != Cordon {
		t.Fatalf("%+v", do)
	}
	r = Refused(r, do[0], "hosts/h1: it is being removed", Rules{}, f.now)
	r = f.goes(t, r, nil)
	if r.State != operator.RolloutStopped || !strings.Contains(r.Reason, "step cordon: hosts/h1: it is being removed") {
		t.Errorf("%s %q", r.State, r.Reason)
	}
}

// Hosts that have nodes of the same layer are not away at once, however many may be.
func TestTwins(t *testing.T) {
	for layer, want := range map[string]int{"web": 1, "": 3} {
		f := newFleet(4)
		for _, m := range f.hosts {
			if layer == "" {
				m.Nodes = m.Nodes[:1]
			}
		}
		p := quick
		p.Away, p.Cohorts = 3, []int{3}
		most := 0
		f.goes(t, f.begins(t, p), func(r operator.Rollout) bool {
			n := 0
			for _, v := range r.Visits {
				n += btoi(inFlight(v))
			}
			most = max(most, n)
			return false
		})
		if most != want {
			t.Errorf("layer %q: %d hosts at once, want %d", layer, most, want)
		}
	}
}

func TestWindows(t *testing.T) {
	at := func(s string) time.Time {
		out, err := time.Parse("Mon 2006-01-02 15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	night, noonish := "sat 22:00-04:00", "12:00-13:00"
	for _, c := range []struct {
		windows []string
		now     string
		open    bool
		next    string
	}{
		{nil, "Fri 2026-11-27 03:00", true, "Fri 2026-11-27 03:00"},
		{[]string{night}, "Fri 2026-11-27 23:00", false, "Sat 2026-11-28 22:00"},
		{[]string{night}, "Sat 2026-11-28 22:00", true, "Sat 2026-11-28 22:00"},
		{[]string{night}, "Sun 2026-11-29 03:59", true, "Sun 2026-11-29 03:59"},
		{[]string{night}, "Sun 2026-11-29 04:00", false, "Sat 2026-12-05 22:00"},
		{[]string{night, noonish}, "Sun 2026-11-29 04:00", false, "Sun 2026-11-29 12:00"},
		{[]string{noonish}, "Sun 2026-11-29 13:00", false, "Mon 2026-11-30 12:00"},
	} {
		if open, next := window(c.windows, at(c.now)); open != c.open || !next.Equal(at(c.next)) {
			t.Errorf("%v at %s: %v, %s; want %v, %s", c.windows, c.now, open, next, c.open, c.next)
		}
	}
	// Visits begin in a window; one that has begun goes on.
	f := newFleet(3)
	p := quick
	p.Windows = []string{"12:30-12:32"}
	r := f.begins(t, p)
	var began []string
	r = f.goes(t, r, func(r operator.Rollout) bool {
		for _, v := range r.Visits {
			if v.State == operator.VisitRunning && v.Began.Equal(f.now) {
				began = append(began, f.now.Format("02 15:04"))
			}
		}
		return f.now.Sub(noon) > 4*time.Hour
	})
	if !slices.Equal(began, []string{"27 12:30"}) || !strings.Contains(r.Reason, "the next one opens at 2026-11-28T12:30:00Z") ||
		r.Visits[0].State != operator.VisitDone {
		t.Errorf("began %v: %s %q", began, states(r), r.Reason)
	}
}

func TestPolicy(t *testing.T) {
	for severity, want := range map[string]int64{"": 1800, "normal": 1800, "high": 600, "critical": 120, "of a later program": 1800} {
		if got := Filled(operator.RolloutPolicy{}, severity, 10, Rules{}); got.CanarySoakSec != want || got.Away != 1 || got.Budget != 0 {
			t.Errorf("%s: %+v", severity, got)
		}
	}
	if got := Filled(operator.RolloutPolicy{SoakSec: 7}, "normal", 200, Rules{Scale: 3}); got.SoakSec != 7 || got.Away != 4 ||
		got.CanarySoakSec != 5400 {
		t.Errorf("%+v", got)
	}
	for want, sizes := range map[string][]int{"[1 2 4 8 5]": nil, "[1 3 3 3 3 3 3 1]": {3}, "[1 1 10 8]": {1, 10}} {
		if got := fmt.Sprint(cohortSizes(operator.RolloutPolicy{Cohorts: sizes}, 20)); got != want {
			t.Errorf("%v: %s, want %s", sizes, got, want)
		}
	}
	for want, p := range map[string]operator.RolloutPolicy{
		"cohorts[1]: 0": {Cohorts: []int{2, 0}},
		"bootSec: 7":    {BootSec: 7},
		`drain: "all"`:  {Drain: "all"},
		`windows[0]: "1:00-02:00": "1:00" is no time`:      {Windows: []string{"1:00-02:00"}},
		`windows[1]: "tuesday 01:00-02:00": day "tuesday"`: {Windows: []string{"01:00-02:00", "tuesday 01:00-02:00"}},
		`windows[0]: "nights": want hours such as`:         {Windows: []string{"nights"}},
		"away: -1 is negative":                             {Away: -1},
	} {
		if err := Check(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", p, err, want)
		}
	}
}

func TestPlan(t *testing.T) {
	f := newFleet(6)
	f.add("infra", "infra")
	f.host("h1").State, f.host("h1").Reason = operator.HostUnreachable, "no report"
	f.host("h2").System = &System{}
	f.host("h3").Version = "0.9.0"
	f.host("h4").Version = newRelease
	f.host("h5").Version = "2.0.0"
	f.host("h6").Nodes[0].State = "down"
	f.host("infra").Nodes[0].Component = "registry"
	f.add("busy", "user").System = &System{Slot: "a", State: "fetching", Wanted: "1.0.5"}
	f.add("mute", "user").System = nil
	f.add("taken", "user").Cordoned = true
	f.add("spare", "user").Nodes = nil
	s := f.seen(operator.Rollout{})
	for i := range s.Hosts {
		s.Hosts[i].Nodes = f.hosts[i].Nodes
		s.Hosts[i].System = f.hosts[i].System
	}
	s.Hosts[5].Fates = map[wire.CTID]string{}
	plan, problem := PlanOf(operator.Release{Version: newRelease, Floors: []string{"0.9.5"}, Severity: "high"}, s, operator.RolloutPolicy{},
		Earlier{"h-h6": 41.6}, Rules{})
	if problem != nil {
		t.Fatal(problem)
	}
	var cohorts, refused []string
	for _, c := range plan.Cohorts {
		line := ""
		for _, v := range c.Hosts {
			line += fmt.Sprintf("%s %d s", v.Name, v.Seconds)
			for _, n := range v.Nodes {
				line += fmt.Sprintf(" %s=%s/%d", n.CTID, n.Fate, n.OutageSec)
			}
		}
		cohorts = append(cohorts, fmt.Sprintf("%s; soak %d", line, c.SoakSec))
	}
	for _, x := range plan.Refused {
		refused = append(refused, fmt.Sprintf("%s: %s (%s)", x.Name, x.Reason, x.Next))
	}
	wantCohorts := []string{"spare 42 s; soak 600", "h6 42 s 160=down/0 161=replaced/0; soak 300",
		"infra 42 s 170=stopped/52 171=stopped/52; soak 300"}
	if !slices.Equal(cohorts, wantCohorts) {
		t.Errorf("cohorts\n%s\nwant\n%s", strings.Join(cohorts, "\n"), strings.Join(wantCohorts, "\n"))
	}
	for i, want := range []string{"h1: the host is UNREACHABLE: no report", "h2: it is not installed",
		"h3: it runs 0.9.0, and 0.9.5 is a mandatory",
		"h5: it runs 2.0.0, which is newer", "busy: an order is in force: release 1.0.5", "mute: it says nothing",
		"taken: it is MAINTENANCE: cordoned by patcher (let it go"} {
		if i >= len(refused) || !strings.HasPrefix(refused[i], want) {
			t.Errorf("refused %q, want %q", refused, want)
			break
		}
	}
	if !reflect.DeepEqual(plan.Already, []string{"h4"}) || len(plan.Warnings) != 1 ||
		!strings.Contains(plan.Warnings[0], "infra runs the platform") {
		t.Errorf("already %v, warnings %q", plan.Already, plan.Warnings)
	}
	if plan.Seconds != (42+60+60)*3+600+300+300 {
		t.Errorf("%d s", plan.Seconds)
	}
	if _, p := PlanOf(operator.Release{Version: newRelease}, s, operator.RolloutPolicy{Canary: "h1"}, nil, Rules{}); p == nil ||
		!strings.Contains(p.Reason, `host "h1" is none that`) {
		t.Errorf("a canary that is refused: %v", p)
	}
	none, problem := PlanOf(operator.Release{Version: newRelease}, Seen{Hosts: s.Hosts[3:5]}, operator.RolloutPolicy{}, nil, Rules{})
	if problem != nil || len(none.Cohorts) != 0 {
		t.Errorf("%+v, %v", none, problem)
	}
	if _, p := Start(none, "ro-1", "admin", noon); p == nil || p.Code != operator.Conflict ||
		!strings.Contains(p.Reason, "1 run 1.1.0 already, 1 are refused, such as h5: it runs 2.0.0") {
		t.Errorf("nothing to do: %v", p)
	}
}

// What restarted before restarts on: only more of it is the release's.
func TestRestartsOfBefore(t *testing.T) {
	for _, c := range []struct {
		name   string
		before int // restarts of a node in the two hours before; on the release it restarts every five seconds
		state  operator.RolloutState
		says   string
	}{
		{"as often as before", 1440, operator.RolloutDone, ""},
		{"more than before", 100, operator.RolloutStopped, "(before it, 50.0 an hour)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(3)
			m := f.host("h1")
			m.ails, m.Boots, m.Nodes[0].Restarts = "restarts", []operator.HostBoot{{At: f.now.Add(-2 * time.Hour)}}, c.before
			p := quick
			p.Canary = "h1"
			if r := f.goes(t, f.begins(t, p), nil); r.State != c.state || !strings.Contains(r.Reason, c.says) {
				t.Errorf("%s: %s\n%s", r.State, r.Reason, states(r))
			}
		})
	}
}

// Errors of the platform's programs are a brake: of a kind that no host had on another release, or more of it than any had.
func TestErrors(t *testing.T) {
	at := func(release string, n int64, after time.Duration) JError {
		return JError{Fingerprint: "g1-a", Component: "agent", Kind: "ended", Message: "run: <text>", Version: release, Count: n,
			Last: noon.Add(after)}
	}
	const later = time.Hour // than any switch
	for _, c := range []struct {
		name         string
		canary, peer []JError
		state        operator.RolloutState
		says         string
	}{
		{"new", []JError{at(newRelease, 1, later)}, nil, operator.RolloutStopped,
			"host h1, step watch: error of agent on the release, which no host had before it: ended: run: <text>"},
		{"known here", []JError{at(oldRelease, 2, -later), at(newRelease, 2, later)}, nil, operator.RolloutDone, ""},
		{"known elsewhere", []JError{at(newRelease, 2, later)}, []JError{at(oldRelease, 3, -later)}, operator.RolloutDone, ""},
		{"more than elsewhere", []JError{at(newRelease, 4, later)}, []JError{at(oldRelease, 3, -later)}, operator.RolloutStopped,
			"on the release, 4 times, before it no host more than 3: ended"},
		{"of the old release", []JError{at(oldRelease, 9, later)}, nil, operator.RolloutDone, ""},
		{"of a rollout before", []JError{at(newRelease, 9, -later)}, nil, operator.RolloutDone, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(3)
			f.host("h1").Errors, f.host("h2").Errors = c.canary, c.peer
			p := quick
			p.Canary = "h1"
			r := f.goes(t, f.begins(t, p), nil)
			if r.State != c.state || !strings.Contains(r.Reason, c.says) {
				t.Errorf("%s: %s\n%s", r.State, r.Reason, states(r))
			}
			stopped := r.Visits[0].State == operator.VisitBack && r.Symptom != nil && r.Symptom.Name == "h1"
			if c.state == operator.RolloutStopped && !stopped {
				t.Errorf("first sign %+v\n%s", r.Symptom, states(r))
			}
		})
	}
}
