//go:build qemu

package update

import (
	"os"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/patched"
)

// The releases: next differs from what runs in its version and in one function of the agent, of bad the agent is never ready.
const (
	next = "0.2.0"
	bad  = "0.3.0"
)

// mostFetched is the bar of what a small change may cost a host over the network, in bytes.
const mostFetched = 8 << 20

// TestUpdate: an installed host is ordered another release by hnctl, fetches the blocks that it lacks, tries it and keeps it; one whose
// agent is never ready is gone back from by the host itself, said why, and not tried again.
func TestUpdate(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: two more images are built and a host is installed; `make soak PKG=./qemu-tests/update` does it")
	}
	c := patched.Start(t, cluster.Options{Hosts: 1, Bare: true})
	c.Import(t, next, patched.OneFunction...)
	c.Import(t, bad, patched.NeverReady...)

	t.Run("good", func(t *testing.T) {
		began := time.Now()
		if out, err := c.Run("host", "update", "host-1", "--release", next, "--reason", "a test", "--yes", "--wait", "--timeout",
			"25m"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		s := c.System(t, "host-1")
		if s.State != host.SystemDone || s.Release != next || s.Slot != slots.B {
			t.Errorf("at the end: %+v", s)
		}
		t.Logf("figure: one changed function, UKI of %d bytes: %d bytes over the network; ordered → committed %s", s.Total, s.Fetched,
			time.Since(began).Round(time.Second))
		if s.Fetched > mostFetched {
			t.Errorf("%d bytes came over the network, at most %d should", s.Fetched, mostFetched)
		}
		h, err := c.WaitHost(t.Context(), "host-1", time.Minute, func(h operator.Host) bool { return h.Version == next })
		if err != nil || len(h.Boots) == 0 || !strings.Contains(h.Boots[0].Words(), "release "+next+": a test") {
			t.Errorf("the host is %+v, %v", h, err)
		}
	})
	t.Run("bad", func(t *testing.T) {
		began := time.Now()
		_, err := c.Run("host", "update", "host-1", "--release", bad, "--within", "4m", "--yes", "--wait", "--timeout", "25m")
		if err == nil || !strings.Contains(err.Error(), "failed "+bad) {
			t.Fatalf("the bad release: %v", err)
		}
		t.Logf("figure: a release whose agent is never ready: ordered → back in the old one %s: %v",
			time.Since(began).Round(time.Second), err)
		h, err := c.WaitHost(t.Context(), "host-1", time.Minute, func(h operator.Host) bool {
			return h.Version == next && h.State == operator.HostActive
		})
		if err != nil {
			t.Fatal(err)
		}
		if s := c.System(t, "host-1"); s.State != host.SystemFailed || s.Release != next || s.Slot != slots.B || s.Reason == "" {
			t.Errorf("at the end: %+v", s)
		}
		boot := h.Boot
		time.Sleep(time.Minute) // it is not tried again
		h, err = c.WaitHost(t.Context(), "host-1", time.Minute, func(operator.Host) bool { return true })
		if err != nil || h.Boot != boot {
			t.Errorf("booted again: %s, before %s, %v", h.Boot, boot, err)
		}
		if out, err := c.Run("host", "update", "host-1", "--cancel"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
