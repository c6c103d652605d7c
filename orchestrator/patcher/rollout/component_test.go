package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// part is a component of a fleet's platform. It takes 10 s until a new version serves.
type part struct {
	operator.Component
	since time.Time
	ails  string // the new version crashes; it never serves; it restarts
}

// platform is a fleet with an infra host that runs components.
type platform struct {
	*fleet
	parts []*part
	did   []string
}

func newPlatform(hosts int, names ...string) *platform {
	p := &platform{fleet: newFleet(hosts)}
	infra := p.add("infra", "infra")
	infra.Nodes = nil
	for i, n := range names {
		p.parts = append(p.parts, &part{Component: operator.Component{Name: n, CTID: wire.CTID(i + 1), Host: infra.ID, HostName: "infra",
			State: "running", Image: "sha256:old", Offered: "sha256:new", Started: noon.Add(-time.Hour)}})
		infra.Nodes = append(infra.Nodes, operator.Node{CTID: wire.CTID(i + 1), Env: "jelastic", Layer: wire.LayerName(n), Component: n,
			State: "running", Started: noon.Add(-time.Hour)})
	}
	return p
}

func (p *platform) seen(r operator.Rollout) Seen {
	s := p.fleet.seen(r)
	for _, x := range p.parts {
		s.Components = append(s.Components, x.Component)
	}
	return s
}

func (p *platform) act(a Action) {
	if a.Component == "" {
		p.fleet.act(a)
		return
	}
	p.did = append(p.did, a.Component+" "+string(a.Do))
	for _, x := range p.parts {
		if x.Name != a.Component {
			continue
		}
		switch a.Do {
		case Replace:
			x.Trial = &operator.ComponentTrial{Release: newRelease, Image: "sha256:new", ConfirmBy: p.now.Add(11 * time.Minute)}
			x.Image, x.since, x.State, x.Failed, x.Restarts = "sha256:new", p.now, "starting", nil, 0
		case Confirm:
			x.Trial, x.Release = nil, newRelease
		case TakeBack:
			x.goesBack(p.now, "it was taken back by patcher")
		}
	}
}

func (x *part) goesBack(now time.Time, why string) {
	x.Failed = &operator.ComponentFailure{Release: newRelease, Reason: why, At: now}
	x.Trial, x.Image, x.State, x.Restarts = nil, "sha256:old", "running", 0
}

func (p *platform) advance(d time.Duration) {
	p.fleet.advance(d)
	for _, x := range p.parts {
		switch past := p.now.Sub(x.since); {
		case x.Trial == nil:
		case x.ails == "crashes" && past > 20*time.Second:
			x.goesBack(p.now, "generation 2 ended 4 times in a row")
		case p.now.After(x.Trial.ConfirmBy):
			x.goesBack(p.now, "generation 2 was not confirmed in time")
		case past >= 10*time.Second && x.ails != "crashes" && x.ails != "never serves":
			x.State, x.Trial.Runs = "running", true
			if x.ails == "restarts" {
				x.Restarts++
			}
		}
	}
}

// plans is the plan of the new release as it is seen whole.
func (p *platform) plans(t *testing.T) operator.RolloutPlan {
	t.Helper()
	s := p.seen(operator.Rollout{})
	for i := range s.Hosts {
		s.Hosts[i].Nodes, s.Hosts[i].Asked = p.hosts[i].Nodes, true
	}
	plan, problem := PlanOf(operator.Release{Version: newRelease}, s, operator.RolloutPolicy{}, nil, Rules{})
	if problem != nil {
		t.Fatal(problem)
	}
	return plan
}

func (p *platform) goes(t *testing.T) operator.Rollout {
	t.Helper()
	r, problem := Start(p.plans(t), "ro-1", "admin", p.now)
	if problem != nil {
		t.Fatal(problem)
	}
	for range 5000 {
		var do []Action
		r, do = Next(r, p.seen(r), Rules{})
		for _, a := range do {
			p.act(a)
			if a.Do == Drain {
				r = Drained(r, a.Host, "op-1")
			}
		}
		if under := len(slices.DeleteFunc(slices.Clone(r.Visits), func(v operator.RolloutVisit) bool { return !inFlight(v) })); under > 1 {
			t.Fatalf("%d visits at once", under)
		}
		if r.State.Final() {
			return r
		}
		p.advance(5 * time.Second)
	}
	t.Fatalf("it does not end: %+v", r)
	return r
}

// TestComponents: behind the users' hosts the components are patched one at a time, the orchestrator and then the Patcher last, and the
// infra host's own system after them.
func TestComponents(t *testing.T) {
	p := newPlatform(1, "registry", "jls", "orchestrator", "resolver", "patcher")
	p.parts[1].Offered = "" // the release has none
	plan := p.plans(t)
	var order []string
	for _, c := range plan.Cohorts {
		for _, v := range c.Hosts {
			order = append(order, v.Name)
		}
	}
	if got := strings.Join(order, " "); got != "h1 infra/registry infra/resolver infra/orchestrator infra/patcher infra" ||
		len(plan.Cohorts) != 3 || len(plan.Refused) != 0 || plan.Cohorts[1].Hosts[0].Kind != KindComponent {
		t.Errorf("the order is %s, refused %+v", got, plan.Refused)
	}
	r := p.goes(t)
	if r.State != operator.RolloutDone {
		t.Fatalf("it is %s: %s", r.State, r.Reason)
	}
	if got := strings.Join(p.did, ", "); got != "registry replace, registry confirm, resolver replace, resolver confirm, "+
		"orchestrator replace, orchestrator confirm, patcher replace, patcher confirm" {
		t.Errorf("done: %s", got)
	}
	for _, v := range r.Visits {
		if took := v.TookSec == 10; v.State != operator.VisitDone ||
			v.Component != "" && (took == runsBeside(v.Component) || v.Ended.Sub(v.Began) < time.Minute) {
			t.Errorf("visit %+v", v)
		}
	}
	for _, x := range p.parts {
		x.Offered = "sha256:old"
	}
	for _, c := range p.plans(t).Cohorts {
		for _, v := range c.Hosts {
			if v.Component == "jls" {
				t.Error("what runs the release's image would be replaced")
			}
		}
	}
}

// TestComponentsAlone: where no host is to be patched, or the infra host alone, the components come first.
func TestComponentsAlone(t *testing.T) {
	p := newPlatform(0, "registry", "patcher")
	plan := p.plans(t)
	if len(plan.Cohorts) != 2 || plan.Cohorts[0].Hosts[0].Component != "registry" || plan.Cohorts[1].Hosts[0].Name != "infra" {
		t.Errorf("with the infra host: %+v", plan.Cohorts)
	}
	p.hosts[0].System.Slot = "" // it is not installed
	if r := p.goes(t); r.State != operator.RolloutDone || len(r.Visits) != 2 {
		t.Errorf("alone it is %s: %s", r.State, r.Reason)
	}
}

// TestBadComponent: a version that does not stay stops the rollout with the first sign, whatever it ails from; what comes behind it is left
// alone, and the former version runs.
func TestBadComponent(t *testing.T) {
	for _, c := range []struct{ ails, why string }{
		{"crashes", "host infra/resolver, step try: generation 2 ended 4 times in a row"},
		{"never serves", "host infra/resolver, step try: generation 2 was not confirmed in time"},
		{"restarts", "host infra/resolver, step watch: it restarted 4 times, at most 3 are allowed"},
	} {
		p := newPlatform(1, "registry", "orchestrator", "resolver", "patcher")
		p.parts[2].ails = c.ails
		r := p.goes(t)
		if r.State != operator.RolloutStopped || !strings.Contains(r.Reason, c.why) || r.Symptom == nil ||
			r.Symptom.Name != "infra/resolver" {
			t.Errorf("%s: it is %s: %s, %+v", c.ails, r.State, r.Reason, r.Symptom)
		}
		for _, x := range p.parts {
			want := map[string]wire.Digest{"registry": "sha256:new"}[x.Name]
			if want == "" {
				want = "sha256:old"
			}
			if x.Image != want || x.Trial != nil || x.State != "running" {
				t.Errorf("%s: %s is %+v", c.ails, x.Name, x.Component)
			}
		}
	}
}

// TestComponentRefused: what can't be patched now is named with its reason, and one that falls ill before its turn is not waited for long.
func TestComponentRefused(t *testing.T) {
	p := newPlatform(1, "registry", "orchestrator", "resolver")
	p.parts[0].Trial = &operator.ComponentTrial{Release: "9", By: "admin"}
	p.parts[1].Image = ""
	p.parts[2].State, p.parts[2].Reason = "failing", "exited with code 1"
	plan := p.plans(t)
	if len(plan.Refused) != 3 {
		t.Fatalf("refused: %+v", plan.Refused)
	}
	for i, want := range []string{"release 9 of it is tried by admin", "it is failing: exited with code 1", "which image it runs"} {
		if r := plan.Refused[i]; !strings.Contains(r.Reason, want) || r.Next == "" {
			t.Errorf("refused: %+v, want %q", r, want)
		}
	}
	p = newPlatform(1, "registry")
	r, _ := Start(p.plans(t), "ro-1", "admin", p.now)
	p.parts[0].State = "failing"
	for range 5000 {
		var do []Action
		if r, do = Next(r, p.seen(r), Rules{}); r.State.Final() {
			break
		}
		for _, a := range do {
			p.act(a)
			if a.Do == Drain {
				r = Drained(r, a.Host, "op-1")
			}
		}
		p.advance(5 * time.Second)
	}
	if r.State != operator.RolloutDone || r.Visits[1].State != operator.VisitSkipped || len(p.did) != 0 {
		t.Errorf("it is %s: %s; %+v", r.State, r.Reason, r.Visits[1])
	}
}
