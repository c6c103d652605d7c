package waiting

import (
	"strings"
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[Request](t, "request")
	golden.Wire[Reply](t, "reply")
}

// TestClean: what a stranger says of itself steers no terminal, and takes no room.
func TestClean(t *testing.T) {
	m := Machine{UUID: "u\x1b[2J", Serial: strings.Repeat("9", 500), Model: "a\nb\u202ec  d",
		MACs:  []string{"52-54-00-00-00-01", "nonsense", ""},
		Disks: make([]Disk, 100)}
	m.Disks[0] = Disk{Name: "vda", Bytes: -1, Serial: "\r7"}
	for range 100 {
		m.MACs = append(m.MACs, "52:54:00:00:00:02")
	}
	c := m.Clean()
	if c.UUID != "u[2J" || len(c.Serial) != maxText || c.Model != "abc d" || c.MACs[0] != "52:54:00:00:00:01" || len(c.MACs) > maxMACs ||
		len(c.Disks) != maxDisks || c.Disks[0] != (Disk{Name: "vda", Serial: "7"}) {
		t.Errorf("got %+v", c)
	}
	if got := (Disk{"vda", 8 << 30, "QEMU", "7"}).String(); got != "vda 8.0 GiB QEMU serial 7" {
		t.Errorf("got %q", got)
	}
}
