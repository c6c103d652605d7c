package bootorder

import (
	"strings"
	"testing"

	"hardnode.dev/internal/wire/slots"
)

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name string
		e    Entry
	}{
		{"hardnode-1-a+1.conf", Entry{slots.A, 1, "0.1.0", 1, 0}},
		{"hardnode-1-a+0-1.conf", Entry{slots.A, 1, "0.1.0", 0, 1}},
		{"hardnode-2-b+0.conf", Entry{slots.B, 2, "0.1.0", 0, 0}},
		{"hardnode-3-rescue.conf", Entry{slots.Rescue, 3, "0.1.0", Uncounted, 0}},
	} {
		if got := c.e.Name(); got != c.name {
			t.Errorf("%+v is named %q, want %q", c.e, got, c.name)
		}
		if got, ok := Parse(strings.ToUpper(c.name), c.e.Text()); !ok || got != c.e {
			t.Errorf("%q: read as %+v, %v", c.name, got, ok)
		}
	}
	for name, slot := range map[string]slots.Name{"hardnode-1-a": slots.A, "hardnode-1-a.conf": slots.A, "hardnode-1-b+0-1.conf": slots.B} {
		if e, ok := Parse(name, ""); !ok || e.Slot != slot { // as the loader names what was selected
			t.Errorf("%q: %+v, %v", name, e, ok)
		}
	}
	for _, name := range []string{"", "debian.conf", "hardnode-0-a.conf", "hardnode-1-c.conf", "hardnode-1-a+.conf",
		"hardnode-1-a+x.conf"} {
		if e, ok := Parse(name, ""); ok {
			t.Errorf("%q was taken for %+v", name, e)
		}
	}
	if !strings.Contains(Entry{Slot: slots.B, Rank: 2}.Text(), "sort-key hardnode-2\nefi /EFI/hardnode/b.efi\n") {
		t.Error(Entry{Slot: slots.B, Rank: 2}.Text())
	}
}

func FuzzParse(f *testing.F) {
	f.Add("hardnode-1-a+0-1.conf", "version x\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		if e, ok := Parse(name, text); ok && e.Slot != slots.A && e.Slot != slots.B && e.Slot != slots.Rescue {
			t.Errorf("%q: %+v", name, e)
		}
	})
}

// A loader that could not load what it selected leaves its name for what the firmware starts next.
func TestFrom(t *testing.T) {
	for _, c := range []struct {
		selected, current, cmdline string
		want                       slots.Name
	}{
		{"hardnode-1-a.conf", "Hardnode", "quiet", slots.A},
		{"hardnode-3-rescue.conf", "Hardnode, again", "", slots.Rescue},
		{"hardnode-2-b.conf", RescueEntry, "", slots.Rescue},
		{"", RescueEntry, "", slots.Rescue},
		{"windows.conf", "Windows", "", ""},
		{"", "", "", ""},
		{"hardnode-1-a.conf", "Hardnode", "quiet hardnode.slot=b panic=10", slots.B}, // what the loader chose for the kernel before
		{"hardnode-1-a.conf", "Hardnode", "hardnode.slot=rescue xhardnode.slot=b", slots.A},
	} {
		if got := From(c.selected, c.current, c.cmdline); got != c.want {
			t.Errorf("%q by %q, %q: slot %q, want %q", c.selected, c.current, c.cmdline, got, c.want)
		}
	}
}
