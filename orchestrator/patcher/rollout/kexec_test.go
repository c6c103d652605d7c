package rollout

import (
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/operator"
)

// TestKexec: a host is booted by its kernel as by its firmware. Where it can't be, it is booted by the firmware where the policy says so,
// else the rollout stops, says why, and has touched nothing but the slot.
func TestKexec(t *testing.T) {
	for _, c := range []struct {
		name, method, ails string
		state              operator.RolloutState
		deeds              []string
		words              string
	}{
		{"it can", operator.MethodKexec, "", operator.RolloutDone, []string{"cordon", "stage", "drain", "kexec", "uncordon"}, ""},
		{"its kernel refuses", operator.MethodKexec, "firmware", operator.RolloutStopped,
			[]string{"cordon", "stage", "drain", "kexec", "forget", "uncordon"}, "its kernel is not signed"},
		{"its release does not know it", operator.MethodKexec, "old", operator.RolloutStopped,
			[]string{"cordon", "stage", "drain", "kexec", "forget", "uncordon"}, "does not know kexec"},
		{"auto, more than programs differs", operator.MethodAuto, "more", operator.RolloutDone,
			[]string{"stage", "hot", "cordon", "forget", "stage", "drain", "kexec", "uncordon"}, ""},
		{"the new system is not well", operator.MethodKexec, "boot", operator.RolloutStopped,
			[]string{"cordon", "stage", "drain", "kexec", "forget", "uncordon"}, "the agent was not ready in time"},
	} {
		f := newFleet(3)
		f.host("h1").ails = c.ails
		r := f.goes(t, f.begins(t, operator.RolloutPolicy{Method: c.method, Canary: "h1"}), nil)
		if r.State != c.state || !strings.Contains(r.Reason, c.words) {
			t.Errorf("%s: it ended as %s: %s", c.name, r.State, r.Reason)
		}
		if got := f.of("h1"); !slices.Equal(got, c.deeds) {
			t.Errorf("%s: h1: %q, want %q", c.name, got, c.deeds)
		}
		if got := f.of("h2"); c.state == operator.RolloutStopped && len(got) > 0 {
			t.Errorf("%s: h2 was touched: %q", c.name, got)
		}
	}
}
