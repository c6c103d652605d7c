package host

import (
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
)

func netboot() Netboot {
	file := NetbootFile{Digest: wire.Digest("sha256:" + strings.Repeat("a", 64)), Bytes: 7}
	of := func(v string) NetbootRelease { return NetbootRelease{v, file, file, file} }
	return Netboot{Version: 1, Sum: "1", For: []string{"52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"}, Release: "1.4.0",
		Releases: []NetbootRelease{of("1.4.0"), of("1.3.0-rc.1")}, Machines: []NetbootMachine{
			{"host-2", []string{"52:54:00:00:00:02"}, "1.3.0-rc.1", 90},
			{"host-3", []string{"52:54:00:00:00:03"}, "1.2.0", 0}, {"host-4", []string{"52:54:00:00:00:04"}, "1.4.0", 0}}}
}

// TestNetbootBoots: a stranger boots what all boot, an enrolled host what its Assignment names or nothing.
func TestNetbootBoots(t *testing.T) {
	n := netboot()
	for card, want := range map[string]string{
		"52:54:00:00:00:01": "1.4.0",
		"52:54:00:00:00:02": "1.3.0-rc.1",
		"52:54:00:00:00:03": "it is host host-3, which is to run release 1.2.0, and that is not imported here",
		"52:54:00:00:00:04": "it is none of the cards that are answered",
		"52:54:00:00:00:05": "it is none of the cards that are answered",
	} {
		if r, within, why := n.Boots(card); r.Release+why != want || (within == 90*time.Second) != (want == "1.3.0-rc.1") {
			t.Errorf("%s: %q within %s, %q, want %q", card, r.Release, within, why, want)
		}
	}
	n.All, n.Release, n.Reason = true, "", "no release was imported"
	for card, want := range map[string]string{
		"52:54:00:00:00:05": "there is nothing to serve: no release was imported",
		"52:54:00:00:00:04": "1.4.0",
	} {
		if r, _, why := n.Boots(card); r.Release+why != want {
			t.Errorf("all: %s: %q, %q, want %q", card, r.Release, why, want)
		}
	}
}

func TestNetbootValidate(t *testing.T) {
	if err := netboot().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Netboot)
		want   string
	}{
		"version":  {func(n *Netboot) { n.Version = 2 }, "version"},
		"sum":      {func(n *Netboot) { n.Sum = "" }, "sum"},
		"climbing": {func(n *Netboot) { n.Releases[0].Release = "../x" }, "no version"},
		"hidden":   {func(n *Netboot) { n.Releases[0].Release = ".." }, "no version"},
		"a path":   {func(n *Netboot) { n.Releases[0].Release = "1/2" }, "no version"},
		"digest":   {func(n *Netboot) { n.Releases[0].Kernel.Digest = "sha256:1" }, "digest"},
		"empty":    {func(n *Netboot) { n.Releases[1].Initrd.Bytes = 0 }, "size"},
	} {
		n := netboot()
		c.change(&n)
		if err := n.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
