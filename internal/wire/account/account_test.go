package account

import (
	"strings"
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[Account](t, "account")
	golden.Wire[NewAccount](t, "new")
	golden.Wire[ChangeAccount](t, "change")
	golden.Wire[AccountGroup](t, "group")
	golden.Wire[SetAccountGroup](t, "setgroup")
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		limits Limits
		want   string
	}{
		{nil, ""},
		{Limits{Environments: 0, Disk: Most}, ""},
		{Limits{"discs": 3}, `"discs" is no kind of limit, want one of environments, nodes, cloudlets, diskMiB, publicAddresses, domains`},
		{Limits{Nodes: -1}, "limits.nodes: -1, want 0 to"},
		{Limits{Nodes: Most + 1}, "limits.nodes:"},
	} {
		if err := c.limits.Validate(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.limits, err, c.want)
		}
	}
}

func TestContact(t *testing.T) {
	for s, ok := range map[string]bool{"": true, "a@example.com": true, "a": false, "A <a@example.com>": false, "a@b\r\nBcc: c@d": false,
		" a@example.com": false, strings.Repeat("a", 250) + "@example.com": false} {
		if err := ValidateContact(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestTitle(t *testing.T) {
	for s, ok := range map[string]bool{"": true, "Ärzte & Söhne": true, "a\nb": false, "a\x1b[2J": false, "a\xff": false, "\u009b": false,
		strings.Repeat("a", 301): false} {
		if err := ValidateTitle("title", s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}
