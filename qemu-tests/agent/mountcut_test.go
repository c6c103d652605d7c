//go:build qemu

package agent

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/testkit/founded"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ether"
	"hardnode.dev/qemu-tests/harness/nbd"
)

// TestMountCut: a host has a volume of another one mounted, which loses its power at a random write of its disk, and with it what was not
// flushed. Whoever writes there hears EIO within its time, and goes on when the other host is back; all that was synced is there. ROUNDS is
// how many cuts; SEED repeats them.
func TestMountCut(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: the same is tested without a machine's loss of power (agent/mount/pump, agent/container)")
	}
	rounds := harness.Number(t, "ROUNDS", 4)
	seed := harness.Number(t, "SEED", int(time.Now().UnixNano()%1_000_000))
	t.Logf("SEED=%d ROUNDS=%d", seed, rounds)
	rnd := rand.New(rand.NewPCG(uint64(seed), 0))
	dir, sw := harness.Dir(t), ether.NewSwitch()
	disk := filepath.Join(dir, "disk")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 512<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.btrfs", "-q", disk).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.btrfs: %v: %s", err, out)
	}
	cluster, err := founded.New(2, "127.0.0.1:1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	part := func(name string, id wire.HostID, role string) harness.Config {
		at := filepath.Join(dir, name)
		if err := os.Mkdir(at, 0o755); err != nil {
			t.Fatal(err)
		}
		g := harness.GuestTest{Package: "./agent/mount", Run: "^TestMountCut$", Timeout: time.Hour, NICs: []harness.NIC{{Switch: sw}},
			Env: []string{"HARDNODE_CUT=" + role}, Files: map[string]string{"/cluster.json": member(t, cluster, id, at)}}
		c := g.Config(t, at)
		c.Name = name
		return c
	}
	c := cuts{T: t, serves: part("serves", "h-000000000001", "serve"), acked: -1}
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(5+rounds)*3*time.Minute*harness.Scale())
	defer cancel()
	serving := c.serve(ctx, disk, nil)
	mounts, err := harness.Start(ctx, part("mounts", "h-000000000002", "mount"))
	if err != nil {
		t.Fatal(err)
	}
	defer mounts.Kill()
	c.mounts = mounts
	c.until(ctx, func(kind string, _ int) bool { return kind == "ack" })
	serving.Kill()
	c.until(ctx, func(kind string, _ int) bool { return kind == "error" })
	for round := range rounds {
		d, err := nbd.Open(disk)
		if err != nil {
			t.Fatal(err)
		}
		serving = c.serve(ctx, disk, d)
		c.until(ctx, func(kind string, _ int) bool { return kind == "back" })
		from := c.acked
		c.until(ctx, func(kind string, n int) bool { return kind == "ack" && n >= from+3 })
		still := d.StandStill(rnd.IntN(150))
		c.until(ctx, func(string, int) bool {
			select {
			case <-still:
				return true
			default:
				return false
			}
		})
		serving.Kill()
		were, lost, err := d.Cut(rnd)
		if err == nil {
			err = d.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		took := c.until(ctx, func(kind string, _ int) bool { return kind == "error" })
		t.Logf("round %d: %d steps were acknowledged; of %d writes that were not flushed %d are not there, or in part; an error %s after "+
			"the cut, for who had waited %d ms", round, c.acked+1, were, lost, time.Since(began).Round(time.Millisecond), took)
		if limit := 60 * time.Second * harness.Scale(); time.Since(began) > limit {
			t.Errorf("round %d: an error comes %s after the cut, want it within %s", round, time.Since(began), limit)
		}
	}
	serving = c.serve(ctx, disk, nil)
	defer serving.Kill()
	c.until(ctx, func(kind string, _ int) bool { return kind == "back" })
}

// member is a file with what makes a host one of a cluster.
func member(t *testing.T, c *founded.Cluster, id wire.HostID, dir string) string {
	t.Helper()
	fail := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := identity.NewKey()
	fail(err)
	csr, err := identity.CSR(key)
	fail(err)
	chain, err := c.Authority.Sign(csr, identity.Peer{Cluster: c.Seed.Cluster, Host: id, Name: string(id), Role: host.RoleUser}, nil,
		time.Now())
	fail(err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	fail(err)
	raw, err := json.Marshal(map[string]any{"Cluster": c.Seed.Cluster, "Pin": c.Pin, "Key": der, "Chain": chain})
	fail(err)
	path := filepath.Join(dir, "cluster.json")
	fail(os.WriteFile(path, raw, 0o600))
	return path
}

// cuts are two hosts, one of which is cut.
type cuts struct {
	*testing.T
	serves harness.Config
	mounts *harness.VM
	heard  int // events of mounts
	acked  int // the last step
}

// serve boots the host that has the volume, and waits until it has found all there.
func (c *cuts) serve(ctx context.Context, path string, d *nbd.Disk) *harness.VM {
	c.Helper()
	conf := c.serves
	conf.Append = strings.TrimSpace(conf.Append + fmt.Sprintf(" acked=%d", c.acked))
	conf.Disks = append([]harness.Disk(nil), harness.Disk{Path: path, Serial: "volume", Cut: d})
	vm, err := harness.Start(ctx, conf)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(vm.Kill)
	for n := 0; ; n++ {
		e, err := vm.Event(ctx, n)
		if err != nil {
			c.Fatal(err)
		}
		switch line := e.Text(); {
		case line == "serving":
			return vm
		case e.Kind == "exit" || strings.HasPrefix(line, "failed "):
			c.Fatalf("the host that has the volume: %s\n%s", line, vm.Console.Excerpt(30))
		}
	}
}

// until hears the host that mounts, until something is so, of which it is asked with each line and now and then; it returns the last number
// of the line.
func (c *cuts) until(ctx context.Context, is func(kind string, n int) bool) (last int) {
	c.Helper()
	for {
		wait, stop := context.WithTimeout(ctx, 500*time.Millisecond)
		e, err := c.mounts.Event(wait, c.heard)
		waited := wait.Err() != nil && ctx.Err() == nil
		stop()
		kind, n := "", 0
		switch {
		case err == nil:
			c.heard++
			if e.Kind == "exit" || strings.HasPrefix(e.Text(), "failed ") {
				c.Fatalf("the host that mounts: %s\n%s", e.Text(), c.mounts.Console.Excerpt(30))
			}
			fmt.Sscanf(e.Text(), "%s %d %d", &kind, &n, &last)
			if kind == "ack" {
				c.acked = n
			}
		case !waited:
			c.Fatal(err)
		}
		if is(kind, n) {
			return last
		}
	}
}
