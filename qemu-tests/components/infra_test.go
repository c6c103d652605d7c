//go:build qemu

package components

import (
	"os"
	"slices"
	"testing"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/patched"
)

// TestInfraHost: the infra VM's own system is patched by a reboot that the Patcher orders, which runs on it: the platform's API and the
// pages behind its resolver are away meanwhile, and what that costs is measured; nodes on other hosts and their names are not touched.
func TestInfraHost(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/components` does it")
	}
	const next = "0.2.0"
	installed := patched.StartInfra(t, cluster.Options{Hosts: 1})
	installed.Import(t, next, patched.OneFunction...)
	c := &platform{Cluster: installed.Cluster}
	before, err := c.Env(t.Context(), "hello")
	if err != nil {
		t.Fatal(err)
	}
	work := c.load(t)
	began := time.Now()
	r := c.patches(t, next, "--drain", "stop", "--boot", "6m")
	took, cost := time.Since(began), work.end()
	t.Logf("figure: the infra VM's system patched in %s: %s; pages came again after %.1f s", took.Round(time.Second), cost,
		cost.pages.gap.Seconds())
	if r.State != operator.RolloutDone {
		t.Errorf("the rollout is %s: %s", r.State, r.Reason)
	}
	if cost.asked == 0 || cost.lost > 0 {
		t.Errorf("of %d names %d were not answered", cost.asked, cost.lost)
	}
	h, err := c.WaitHost(t.Context(), c.Infra.Name, 2*time.Minute*harness.Scale(), func(h operator.Host) bool {
		return h.State == operator.HostActive && h.Version == next
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("figure: %s runs %s: %s", h.Name, h.Version, h.Boots[0].Words())
	after, err := c.Env(t.Context(), "hello")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range after.Nodes {
		if !slices.ContainsFunc(before.Nodes, func(o operator.Node) bool { return o.CTID == n.CTID && o.Started.Equal(n.Started) }) {
			t.Errorf("node %s is not what ran before: %+v", n.CTID, n)
		}
	}
	if report, err := c.HNCTL(t.Context(), "patch", "report", r.ID); err != nil {
		t.Error(err)
	} else {
		t.Logf("hnctl patch report\n%s", report)
	}
}
