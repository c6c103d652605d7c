package panel

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/world"
)

// TestWordsOfStates: the API's description, the programs and the panel have the same words for states, and each word a colour of its kind.
func TestWordsOfStates(t *testing.T) {
	for _, c := range []struct {
		of      any
		settled []string // states that do not pass by themselves
		passing []string
	}{
		{operator.Environment{},
			words(operator.EnvRunning, operator.EnvDown, operator.EnvSleeping, operator.EnvUnknown, operator.EnvBroken),
			words(operator.EnvLaunching, operator.EnvCreating, operator.EnvCloning, operator.EnvExporting, operator.EnvMigrating,
				operator.EnvUpdating, operator.EnvStopping,
				operator.EnvGoingToSleep, operator.EnvRestoring)},
		{operator.Node{}, append(words(host.CtRunning, host.CtFailing, host.CtStopped, host.CtBroken), env.Unknown),
			append(words(host.CtWaiting, host.CtStarting, host.CtStopping), world.Removing)},
		{operator.Host{}, words(operator.HostActive, operator.HostMaintenance, operator.HostEvacuated, operator.HostEvacuationFailed,
			operator.HostUnreachable, operator.HostFenced, operator.HostBroken),
			words(operator.HostJoining, operator.HostEvacuating)},
		{operator.Operation{}, words(operator.OpPending, operator.OpRunning, operator.OpDone, operator.OpFailed, operator.OpCancelled),
			nil},
	} {
		kind := reflect.TypeOf(c.of)
		field, _ := kind.FieldByName("State")
		described := strings.Split(field.Tag.Get("enum"), ",")
		known := slices.Concat(c.settled, c.passing)
		slices.Sort(described)
		slices.Sort(known)
		if !slices.Equal(described, known) {
			t.Errorf("%s: the API's description has %v, the programs have %v", kind, described, known)
		}
		for _, s := range c.settled {
			if tone(s) == "busy" {
				t.Errorf("%s: %s is shown as if it passed", kind, s)
			}
		}
		for _, s := range c.passing {
			if tone(s) != "busy" {
				t.Errorf("%s: %s is shown as settled", kind, s)
			}
		}
	}
}

func words[T ~string](list ...T) (out []string) {
	for _, x := range list {
		out = append(out, string(x))
	}
	return out
}
