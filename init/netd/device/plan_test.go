package device

import (
	"fmt"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/boot"
)

// TestOps: what is done, in order, from one network to the next; after it, nothing is left to do.
func TestOps(t *testing.T) {
	bond := func(name string, mode boot.BondMode, ports ...int) Device {
		return Device{Name: name, Bond: mode, Ports: ports}
	}
	on := func(name string, id int, below string) Device { return Device{Name: name, VLAN: id, Below: below} }
	card := func(name string, id, card int) Device { return Device{Name: name, VLAN: id, Card: card} }
	ab, lacp := boot.ActiveBackup, boot.LACP
	preferred := bond("b", ab, 2, 3)
	preferred.Primary = "up1"
	for _, c := range []struct {
		name       string
		have, want []Device
		ops        string
	}{
		{"nothing", nil, nil, ""},
		{"a bond and a VLAN, which is named first", nil, []Device{on("v", 7, "b"), bond("b", ab, 2, 3)},
			"make b, attach b 2, attach b 3, make v"},
		{"the same", []Device{bond("b", ab, 3, 2), on("v", 7, "b")}, []Device{on("v", 7, "b"), bond("b", ab, 2, 3)}, ""},
		{"reverted", []Device{bond("b", ab, 2, 3), on("v", 7, "b"), card("w", 8, 4)}, nil, "remove v, remove w, remove b"},
		{"a card more", []Device{bond("b", ab, 2)}, []Device{bond("b", ab, 2, 3)}, "attach b 3"},
		{"a card less", []Device{bond("b", ab, 2, 3)}, []Device{bond("b", ab, 3)}, "release b 2"},
		{"a card goes to another bond", []Device{bond("b", ab, 2, 3), bond("c", ab, 4)}, []Device{bond("b", ab, 2), bond("c", ab, 4, 3)},
			"release b 3, attach c 3"},
		{"another mode: the VLAN on it too", []Device{bond("b", ab, 2), on("v", 7, "b")}, []Device{bond("b", lacp, 2), on("v", 7, "b")},
			"remove v, remove b, make b, attach b 2, make v"},
		{"another id", []Device{card("v", 7, 2)}, []Device{card("v", 8, 2)}, "remove v, make v"},
		{"another card", []Device{card("v", 7, 2)}, []Device{card("v", 7, 3)}, "remove v, make v"},
		{"from a card to a bond", []Device{card("v", 7, 2)}, []Device{bond("b", ab, 2), on("v", 7, "b")},
			"remove v, make b, attach b 2, make v"},
		{"a VLAN becomes a bond", []Device{card("v", 7, 2)}, []Device{bond("v", ab, 2)}, "remove v, make v, attach v 2"},
		{"the kernel's own bond0", []Device{bond("bond0", "balance-rr")}, nil, "remove bond0"},
		{"primary", []Device{bond("b", ab, 2, 3)}, []Device{preferred}, "prefer b"},
		{"primary, at once", nil, []Device{preferred}, "make b, attach b 2, attach b 3, prefer b"},
		{"primary no more", []Device{preferred}, []Device{bond("b", ab, 2, 3)}, "prefer b"},
	} {
		var got []string
		for _, o := range append(Before(c.want, c.have), After(c.want, c.have)...) {
			text := string(o.Do) + " " + o.Device.Name
			if o.Card != 0 {
				text += fmt.Sprint(" ", o.Card)
			}
			if got = append(got, text); o.Reason == "" {
				t.Errorf("%s: %s has no reason", c.name, text)
			}
		}
		if strings.Join(got, ", ") != c.ops {
			t.Errorf("%s: got %q, want %q", c.name, strings.Join(got, ", "), c.ops)
		}
		if again := append(Before(c.want, c.want), After(c.want, c.want)...); len(again) > 0 {
			t.Errorf("%s: again: %v", c.name, again)
		}
	}
}
