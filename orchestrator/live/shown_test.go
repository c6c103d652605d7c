package live

import (
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/operator"
)

func TestShown(t *testing.T) {
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		is     operator.HostState
		cordon string
		want   operator.HostState
	}{
		{operator.HostActive, "", operator.HostActive},
		{operator.HostActive, "cordoned by admin", operator.HostMaintenance},
		{operator.HostUnreachable, "cordoned by admin", operator.HostUnreachable},
		{operator.HostJoining, "cordoned by admin", operator.HostJoining},
	} {
		got := Shown(State{State: c.is, Reason: "why"}, Duty{Cordon: c.cordon, Since: at})
		if got.State != c.want || c.cordon != "" && !strings.Contains(got.Reason, c.cordon) {
			t.Errorf("%s, %q: shown is %+v, want %s", c.is, c.cordon, got, c.want)
		}
		if got.State == operator.HostMaintenance && !got.Since.Equal(at) {
			t.Errorf("it is in maintenance since %s", got.Since)
		}
		if got.State.Answers() != (c.is == operator.HostActive) {
			t.Errorf("%s is shown as %s: does it answer?", c.is, got.State)
		}
	}
}
