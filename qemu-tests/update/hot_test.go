//go:build qemu

package update

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/patched"
)

// visitEvery is how often a page is fetched meanwhile: 20 times a second.
const visitEvery = 50 * time.Millisecond

// TestHot: under visitors, an installed host replaces agent, netd, console and spawner by those of another release, without a reboot, and
// no container notices; from a release whose agent is never ready it goes back; what was replaced stays after a reboot.
func TestHot(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: two more images are built and a host is installed; `make soak PKG=./qemu-tests/update` does it")
	}
	c := patched.Start(t, cluster.Options{Hosts: 1})
	c.Import(t, next, patched.Programs...)
	c.Import(t, bad, patched.NeverReady...)
	env, err := c.Env(t.Context(), "hello")
	if err != nil {
		t.Fatal(err)
	}
	// since is when the first process of each node was started, in ticks since the host's boot: another one has another.
	since := func() string {
		t.Helper()
		var all []string
		for _, n := range env.Nodes {
			out, err := c.Run("node", "exec", n.CTID.String(), "--", "cat", "/proc/1/stat")
			fields := strings.Fields(out[strings.LastIndex(out, ")")+1:])
			if err != nil || len(fields) < 20 {
				t.Fatalf("node %s: %v\n%s", n.CTID, err, out)
			}
			all = append(all, fmt.Sprintf("%s at %s", n.CTID, fields[19]))
		}
		return strings.Join(all, ", ")
	}
	before := since()
	boot, err := c.WaitHost(t.Context(), "host-1", time.Minute, func(h operator.Host) bool { return h.State == operator.HostActive })
	if err != nil {
		t.Fatal(err)
	}
	// undisturbed checks that nobody noticed.
	undisturbed := func(v *visits) {
		t.Helper()
		n, failed, longest := v.end()
		t.Logf("figure: hot: %d visits, %d of them failed, the longest time between two good pages %s (a visitor each %s)", n, len(failed),
			longest.Round(time.Millisecond), visitEvery)
		if len(failed) > 0 {
			t.Errorf("visits failed: %q", failed[:min(len(failed), 10)])
		}
		if now := since(); now != before {
			t.Errorf("first processes of the nodes: %s; before %s", now, before)
		}
		h, err := c.WaitHost(t.Context(), "host-1", time.Minute, func(h operator.Host) bool { return h.State == operator.HostActive })
		if err != nil || h.Boot != boot.Boot {
			t.Errorf("the host was booted again: %s, before %s, %v", h.Boot, boot.Boot, err)
		}
	}
	t.Run("bad", func(t *testing.T) {
		v := visit(t.Context(), c.Cluster)
		began := time.Now()
		out, err := c.Run("host", "update", "host-1", "--release", bad, "--hot", "--within", "2m", "--yes", "--wait", "--timeout", "15m")
		if err == nil || !strings.Contains(err.Error(), "the programs from before run again") {
			t.Errorf("the bad release: %v\n%s", err, out)
		}
		t.Logf("figure: hot: a release whose agent is never ready: ordered → back %s: %v", time.Since(began).Round(time.Second), err)
		undisturbed(v)
		if s := c.System(t, "host-1"); s.State != host.SystemFailed || s.Hot != "" || s.Runs() == bad {
			t.Errorf("at the end: %+v", s)
		}
	})
	t.Run("good", func(t *testing.T) {
		v := visit(t.Context(), c.Cluster)
		began := time.Now()
		if out, err := c.Run("host", "update", "host-1", "--release", next, "--hot", "--reason", "a test", "--yes", "--wait", "--timeout",
			"15m"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		t.Logf("figure: hot: agent, netd, console and spawner replaced: ordered → kept %s", time.Since(began).Round(time.Second))
		undisturbed(v)
		if s := c.System(t, "host-1"); s.State != host.SystemDone || s.Hot != next || s.Slot != slots.A {
			t.Errorf("at the end: %+v", s)
		}
		if _, err := c.WaitHost(t.Context(), "host-1", time.Minute, func(h operator.Host) bool { return h.Version == next }); err != nil {
			t.Error(err)
		}
		log, err := os.ReadFile(c.Machine("host-1").Log())
		if err != nil {
			t.Fatal(err)
		}
		if want := "hot: release " + next + ": [netd console spawner agent] are replaced"; !strings.Contains(string(log), want) {
			t.Errorf("the host's console does not say %q", want)
		}
		out, err := c.Run("host", "slots", "host-1")
		if err != nil || !strings.Contains(out, next) {
			t.Errorf("slots: %v\n%s", err, out)
		}
		t.Logf("slots afterwards:\n%s", out)
	})
	t.Run("reboot", func(t *testing.T) {
		if out, err := c.Run("host", "reboot", "host-1", "--reason", "a test", "--yes"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		h, err := c.WaitHost(t.Context(), "host-1", 5*time.Minute, func(h operator.Host) bool {
			return h.Boot != boot.Boot && h.State == operator.HostActive && h.Version == next
		})
		if err != nil {
			t.Fatalf("%+v, %v", h, err)
		}
		for end := time.Now().Add(10 * time.Minute); ; {
			s := c.System(t, "host-1")
			if s.State == host.SystemDone && s.Release == next && s.Hot == "" && s.Slot == slots.B {
				break
			}
			if time.Now().After(end) || s.State == host.SystemFailed {
				t.Fatalf("after the reboot: %+v", s)
			}
			run.Wait(t.Context(), 3*time.Second)
		}
	})
}

// visits are pages that are fetched one after the other.
type visits struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	n       int
	failed  []string
	longest time.Duration
}

// visit begins to fetch the page of hello again and again.
func visit(ctx context.Context, c *cluster.Cluster) *visits {
	ctx, cancel := context.WithCancel(ctx)
	v := &visits{cancel: cancel}
	begin, last := time.Now(), time.Now()
	v.done.Go(func() {
		for run.Wait(ctx, visitEvery) {
			p, err := c.FetchPage(ctx, "hello", "/")
			now := time.Now()
			switch {
			case ctx.Err() != nil:
				return
			case err == nil && p.Status == http.StatusOK:
				v.longest, last = max(v.longest, now.Sub(last)), now
			default:
				v.failed = append(v.failed, fmt.Sprintf("+%.1f s: %d, %v", now.Sub(begin).Seconds(), p.Status, err))
			}
			v.n++
		}
	})
	return v
}

func (v *visits) end() (n int, failed []string, longest time.Duration) {
	v.cancel()
	v.done.Wait()
	return v.n, v.failed, v.longest
}
