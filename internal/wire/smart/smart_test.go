package smart

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) { golden.Wire[Health](t, "health") }

func TestLine(t *testing.T) {
	wear, spare := 0, 100
	for want, d := range map[string]Health{
		"unknown, no health information":                  {State: Unknown, Reason: "no health information"},
		"good, 0 % worn, 100 % of its spare blocks left":  {State: Good, Wear: &wear, Spare: &spare},
		"failing, it is read-only, 41 °C, 9 media errors": {State: Failing, Reason: "it is read-only", Celsius: 41, MediaErrors: 9},
		"good, 7 hours on, 1 unreadable blocks, 2 reallocated blocks, 3 errors counted by btrfs": {State: Good, Hours: 7, Pending: 1,
			Reallocated: 2, Errors: 3},
	} {
		if got := d.Line(); got != want {
			t.Errorf("%+v: %q, want %q", d, got, want)
		}
	}
}
