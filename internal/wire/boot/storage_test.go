package boot

import (
	"testing"

	"hardnode.dev/internal/wire/host"
)

func TestSwapPercent(t *testing.T) {
	for _, c := range []struct {
		swap        string
		user, infra int
		valid       bool
	}{
		{"", 50, 0, true}, {"auto", 50, 0, true}, {"none", 0, 0, true}, {"1%", 1, 1, true}, {"25%", 25, 25, true}, {"100%", 100, 100, true},
		{"0%", 0, 0, false}, {"101%", 0, 0, false}, {"-5%", 0, 0, false}, {"+5%", 0, 0, false}, {"07%", 0, 0, false}, {"25", 0, 0, false},
		{"%", 0, 0, false}, {"2 %", 0, 0, false},
	} {
		s := Storage{Swap: c.swap}
		if err := s.validate(); (err == nil) != c.valid {
			t.Errorf("%q: %v", c.swap, err)
		}
		if !c.valid {
			continue
		}
		if user, infra := s.SwapPercent(host.RoleUser), s.SwapPercent(host.RoleInfra); user != c.user || infra != c.infra {
			t.Errorf("%q: %d and %d, want %d and %d", c.swap, user, infra, c.user, c.infra)
		}
	}
}
