package upkeep

import (
	"strings"
	"testing"
)

func TestLeave(t *testing.T) {
	for _, c := range []struct {
		order Leave
		err   string
	}{
		{Leave{By: "admin", Reason: "new memory"}, ""},
		{Leave{By: "admin"}, ""},
		{Leave{By: "jürgen", Reason: "größer"}, ""},
		{Leave{}, "nobody is named"},
		{Leave{By: "admin", Reason: "a\nb"}, "reason: has control characters"},
		{Leave{By: "admin", Reason: "\x1b[2J"}, "reason: has control characters"},
		{Leave{By: "admin", Reason: "\xff"}, "no UTF-8"},
		{Leave{By: strings.Repeat("a", MaxBy+1)}, "by: has 201 bytes"},
		{Leave{By: "admin", Reason: strings.Repeat("ä", 101)}, "reason: has 202 bytes, at most 200"},
	} {
		err := c.order.Validate()
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%+v: %v, want %q", c.order, err, c.err)
		}
	}
	odd := Leave{By: "\x1b[2J" + strings.Repeat("é", 200), Reason: strings.Repeat("a", 500) + "\xff"}.Bounded("itself")
	if err := odd.Validate(); err != nil || len(odd.By) < 190 || len(odd.Reason) != MaxReason {
		t.Errorf("%+v: %v", odd, err)
	}
	if got := (Leave{Reason: "why"}).Bounded("itself"); got != (Leave{By: "itself", Reason: "why"}) {
		t.Errorf("got %+v", got)
	}
	if got := (Leave{PowerOff: true}).What() + " " + (Leave{Kexec: true}).What() + " " + (Leave{}).What(); got != "poweroff kexec reboot" {
		t.Errorf("got %q", got)
	}
}
