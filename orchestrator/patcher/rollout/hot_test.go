package rollout

import (
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/operator"
)

// TestHot: the hosts' programs are replaced, nothing is cordoned, drained or booted.
func TestHot(t *testing.T) {
	f := newFleet(4)
	f.add("infra-1", "infra")
	r := f.begins(t, operator.RolloutPolicy{Method: operator.MethodHot})
	r = f.goes(t, r, nil)
	if r.State != operator.RolloutDone {
		t.Fatalf("it ended as %s: %s", r.State, r.Reason)
	}
	for _, m := range f.hosts {
		if got := f.of(m.Name); !slices.Equal(got, []string{"stage", "hot"}) {
			t.Errorf("%s: %q", m.Name, got)
		}
		if m.Boot != "boot-1" || m.Host.System.Hot != newRelease {
			t.Errorf("%s: boot %s, hot %q", m.Name, m.Boot, m.System.Hot)
		}
	}
}

// TestHotSilent: a host that says nothing while its programs are replaced stops no rollout, and its nodes lost nothing.
func TestHotSilent(t *testing.T) {
	f := newFleet(3)
	m := f.host("h1")
	m.ails = "slow"
	silent, w := 0, Begin(m.Host, f.now)
	r := f.goes(t, f.begins(t, operator.RolloutPolicy{Method: operator.MethodHot, Canary: "h1"}), func(r operator.Rollout) bool {
		for _, h := range f.seen(r).Hosts {
			if h.ID == m.ID {
				w = Look(w, h, r.Visits[0].Step, "", f.now)
			}
		}
		if m.State == operator.HostUnreachable {
			silent++
		}
		return false
	})
	if r.State != operator.RolloutDone || silent == 0 {
		t.Errorf("it ended as %s: %s; the host was silent at %d looks", r.State, r.Reason, silent)
	}
	if lost := Outages(w, f.now); len(lost) > 0 {
		t.Errorf("its nodes did not serve: %+v", lost)
	}
}

// TestHotPlan: what is hot costs nobody anything.
func TestHotPlan(t *testing.T) {
	f := newFleet(2)
	f.add("infra-1", "infra")
	s := f.seen(operator.Rollout{})
	for i := range s.Hosts {
		s.Hosts[i].Nodes = f.hosts[i].Nodes
	}
	plan, p := PlanOf(operator.Release{Version: newRelease}, s, operator.RolloutPolicy{Method: operator.MethodAuto}, nil, Rules{})
	if p != nil {
		t.Fatal(p)
	}
	for _, c := range plan.Cohorts {
		for _, v := range c.Hosts {
			if v.Kind != KindHot || v.Seconds != 0 || !strings.Contains(v.Basis, "if more than those differs it is booted") {
				t.Errorf("%+v", v)
			}
			for _, n := range v.Nodes {
				if n.Fate != "untouched" || n.OutageSec != 0 {
					t.Errorf("node %+v", n)
				}
			}
		}
	}
	if len(plan.Warnings) > 0 {
		t.Errorf("warnings: %q", plan.Warnings)
	}
	if _, p := PlanOf(operator.Release{Version: newRelease}, s, operator.RolloutPolicy{Method: "warm"}, nil, Rules{}); p == nil ||
		!strings.Contains(p.Error(), `method: "warm", want reboot, kexec, hot or auto`) {
		t.Errorf("a method that there is not: %v", p)
	}
}

// TestHotIsNotAllowed: a host whose kernel differs is booted where the policy says so, else the rollout stops and says why.
func TestHotIsNotAllowed(t *testing.T) {
	for method, want := range map[string]struct {
		state operator.RolloutState
		deeds []string
		words string
	}{
		operator.MethodAuto: {operator.RolloutDone,
			[]string{"stage", "hot", "cordon", "forget", "stage", "drain", "kexec", "forget", "stage", "switch", "uncordon"}, ""},
		operator.MethodHot: {operator.RolloutStopped, []string{"stage", "hot", "forget"}, "it has another kernel"},
	} {
		f := newFleet(3)
		f.host("h1").ails = "kernel"
		r := f.goes(t, f.begins(t, operator.RolloutPolicy{Method: method, Canary: "h1"}), nil)
		if r.State != want.state || !strings.Contains(r.Reason, want.words) {
			t.Errorf("%s: it ended as %s: %s", method, r.State, r.Reason)
		}
		if got := f.of("h1"); !slices.Equal(got, want.deeds) {
			t.Errorf("%s: h1: %q, want %q", method, got, want.deeds)
		}
		if got := f.of("h2"); method == operator.MethodHot && len(got) > 0 {
			t.Errorf("h2 was touched: %q", got)
		}
	}
}

// TestHotGoesBack: a canary whose new agent is never ready stops the rollout; one whose nodes fail afterwards is booted back.
func TestHotGoesBack(t *testing.T) {
	for ails, want := range map[string]struct {
		words string
		boots bool
	}{
		"agent": {"the programs from before run again", false},
		"nodes": {"exited with 1", true},
	} {
		f := newFleet(3)
		f.host("h1").ails = ails
		r := f.goes(t, f.begins(t, operator.RolloutPolicy{Method: operator.MethodHot, Canary: "h1"}), nil)
		if r.State != operator.RolloutStopped || !strings.Contains(r.Reason, want.words) {
			t.Errorf("%s: it ended as %s: %s", ails, r.State, r.Reason)
		}
		h := f.host("h1")
		if h.runs() != oldRelease || (h.Boot != "boot-1") != want.boots || r.Visits[0].State != operator.VisitBack {
			t.Errorf("%s: h1 runs %s, boot %s, its visit is %s", ails, h.runs(), h.Boot, r.Visits[0].State)
		}
		if len(f.of("h2"))+len(f.of("h3")) > 0 {
			t.Errorf("%s: others were touched: %q", ails, f.did)
		}
	}
}
