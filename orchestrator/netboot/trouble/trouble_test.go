package trouble

import (
	"fmt"
	"testing"
	"time"
)

func TestTroubles(t *testing.T) {
	now := time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)
	begin := now
	b := &Book{Now: func() time.Time { return now }}
	want := func(want ...string) {
		t.Helper()
		var got []string
		for _, x := range b.List() {
			got = append(got, fmt.Sprintf("%s: %s %v", x.What, x.Text, x.Since.Sub(begin)))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	want()
	b.Is("dhcp", "another answers")
	now = now.Add(time.Minute)
	b.Is("tftp of 10.0.0.9", "blocked")
	b.Is("dhcp", "another one answers")
	want("dhcp: another one answers 0s", "tftp of 10.0.0.9: blocked 1m0s")
	b.Over("dhcp")
	b.Over("nothing")
	want("tftp of 10.0.0.9: blocked 1m0s")
	now = now.Add(Fades + time.Second)
	want()
	for i := range 100 {
		b.Is(fmt.Sprint(i), "x")
	}
	if n := len(b.List()); n != most {
		t.Errorf("%d are kept", n)
	}
	(*Book)(nil).Is("x", "y")
	(*Book)(nil).Over("x")
}
