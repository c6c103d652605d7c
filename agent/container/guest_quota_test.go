//go:build guest

package container

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// disk is what df -k says, in bytes.
type disk struct{ total, used, free int64 }

func (d disk) String() string {
	return fmt.Sprintf("%d MiB, used %d KiB, free %d KiB", d.total>>20, d.used>>10, d.free>>10)
}

// parseDF reads the second line of df -P -k.
func parseDF(text string) (d disk) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	f := strings.Fields(lines[len(lines)-1])
	if len(lines) != 2 || len(f) < 6 {
		return disk{-1, -1, -1}
	}
	for i, at := range []*int64{&d.total, &d.used, &d.free} {
		n, err := strconv.ParseInt(f[i+1], 10, 64)
		if err != nil {
			return disk{-1, -1, -1}
		}
		*at = n << 10
	}
	return d
}

// df asks in a container.
func df(t *testing.T, r *Runtime, id wire.CTID, path string) disk {
	t.Helper()
	out, _ := sh(t, r, id, "df -P -k "+path)
	d := parseDF(out)
	if d.total < 0 {
		t.Fatalf("df of %s in container %s: %s", path, id, out)
	}
	return d
}

// sees waits until df in a container says what is wanted, as the agent looks each second.
func sees(t *testing.T, r *Runtime, id wire.CTID, path, when string, want func(disk) bool) disk {
	t.Helper()
	var d disk
	for end := time.Now().Add(30 * time.Second); ; {
		if _, err := r.Observe(deadline(t)); err != nil {
			t.Fatal(err)
		}
		if d = df(t, r, id, path); want(d) {
			return d
		}
		if time.Now().After(end) {
			t.Errorf("container %s, %s: df of %s says %s", id, when, path, d)
			return d
		}
	}
}

// hostDisk is what the host itself is told of its disk and of a container's layer.
func hostDisk(t *testing.T, path string) (blocks, bsize int64) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Blocks), st.Frsize
}

// runs runs a Runtime as the agent does, until the end of the test or of what it returns.
func runs(t *testing.T, r *Runtime) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	end = func() {
		cancel()
		if done == nil {
			return
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		done = nil
	}
	t.Cleanup(end)
	return end
}

// TestQuotaIsSeen: df in a container shows its quotas, live, and nothing else changes.
func TestQuotaIsSeen(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	end := runs(t, r)
	const mib = 1 << 20
	total, bsize := hostDisk(t, "/data")
	neighbour := box(t, 320, forever)
	neighbour.Limits.DiskBytes = 48 * mib
	mustStart(t, r, neighbour)
	sees(t, r, 320, "/", "beside the others", func(d disk) bool { return d.total == 48*mib })
	for i, p := range profiles {
		id := wire.CTID(321 + i)
		s := box(t, id, "while :; do df -P -k / > /tmp/df.new; mv /tmp/df.new /tmp/df; sleep 1; done")
		s.Profile = p
		s.Volumes = []host.Volume{{Name: "data", Path: "/var/data", Bytes: 16 * mib}, {Name: "free", Path: "/srv/free"}}
		mustStart(t, r, s)
		few := int64(2 * mib)    // what a layer takes from the start
		block := int64(64 << 10) // of that, what the filesystem may give back meanwhile: some of its metadata's blocks of 16 KiB
		fresh := sees(t, r, id, "/", "new", func(d disk) bool { return d.total == 64*mib && d.free >= d.total-few && d.used <= few })
		sees(t, r, id, "/var/data", "new", func(d disk) bool { return d.total == 16*mib && d.free >= d.total-few })
		if d := df(t, r, id, "/srv/free"); d.total != total*bsize {
			t.Errorf("profile %s: a volume without a quota shows %s, want %d MiB", p, d, total*bsize>>20)
		}
		soon(t, "the container's own program to see its quota", func() bool {
			out, _ := sh(t, r, id, "cat /tmp/df")
			return parseDF(out).total == 64*mib
		})
		sh(t, r, id, "dd if=/dev/urandom of=/ten bs=1M count=10; dd if=/dev/urandom of=/var/data/two bs=1M count=2")
		full := sees(t, r, id, "/", "with 10 MiB more", func(d disk) bool {
			return d.free <= fresh.free-10*mib+block && d.free >= fresh.free-13*mib && d.total == 64*mib
		})
		if grown := full.used - fresh.used; grown < 10*mib-block || grown > 13*mib {
			t.Errorf("profile %s: 10 MiB more are used: %d KiB", p, grown>>10)
		}
		sees(t, r, id, "/var/data", "with 2 MiB more", func(d disk) bool {
			return d.used >= 2*mib && d.used <= 2*mib+few && d.total == 16*mib
		})

		limit := func(bytes int64) {
			t.Helper()
			l := s.Limits
			l.DiskBytes = bytes
			if err := r.SetLimits(deadline(t), id, l, 0); err != nil {
				t.Fatal(err)
			}
		}
		limit(128 * mib)
		sees(t, r, id, "/", "made larger", func(d disk) bool {
			return d.total == 128*mib && d.used >= full.used && d.free <= 118*mib && d.free >= 114*mib
		})
		limit(4 * mib)
		sees(t, r, id, "/", "made smaller than its use", func(d disk) bool { return d == disk{4 * mib, 4 * mib, 0} })
		limit(4 << 30)
		sees(t, r, id, "/", "with more than the disk has", func(d disk) bool {
			var st unix.Statfs_t
			unix.Statfs("/data", &st)
			has := int64(st.Bavail) * bsize
			return d.total == 4<<30 && d.used < 16*mib && d.free >= has-few && d.free <= has+few
		})
		limit(0)
		sees(t, r, id, "/", "without a quota", func(d disk) bool { return d.total == total*bsize })
		limit(32 * mib)
		sees(t, r, id, "/", "with a quota again", func(d disk) bool { return d.total == 32*mib })
		out, code := sh(t, r, id, "cat /dev/zero > /full; df -P -k /; rm /full /ten; sync")
		if code != 0 || !strings.Contains(out, "uota") {
			t.Errorf("profile %s: fill the disk: %d %s", p, code, out)
		}
		sees(t, r, id, "/", "full, then emptied", func(d disk) bool { return d.total == 32*mib && d.free >= 32*mib-2*few })
		sh(t, r, id, "cat /dev/zero > /full")
		full = sees(t, r, id, "/", "full", func(d disk) bool { return d.total == 32*mib && d.free < few })
		t.Logf("profile %s: a full disk shows %s", p, full)
		limit(40 * mib)
		sees(t, r, id, "/", "full and made larger", func(d disk) bool { return d.total == 40*mib && d.free >= 8*mib })
		sh(t, r, id, "rm /full; sync")
		limit(32 * mib)
		sees(t, r, id, "/", "as before", func(d disk) bool { return d.total == 32*mib })

		out, code = sh(t, r, id, fmt.Sprintf("/bin/hostile statfs %d %d %d", 32*mib/bsize, total, 16*mib/bsize))
		if code != 0 || out != "unharmed" {
			t.Errorf("profile %s: a hostile program: %d %s", p, code, out)
		}
		if d := df(t, r, 320, "/"); d.total != 48*mib {
			t.Errorf("beside a hostile program another container's df says %s", d)
		}
		layer := fmt.Sprintf("/data/ct/%s/layer-1", id)
		for _, path := range []string{"/data", layer} {
			if b, s := hostDisk(t, path); b != total || s != bsize {
				t.Errorf("profile %s: the host is told that %s has %d blocks of %d, want %d of %d", p, path, b, s, total, bsize)
			}
		}
	}
	end() // as if the agent were gone
	if d := df(t, r, 321, "/"); d.total != total*bsize {
		t.Errorf("without an agent: df says %s", d)
	}
	runs(t, r)
	sees(t, r, 321, "/", "with the next agent", func(d disk) bool { return d.total == 32*mib })
}

// TestFullQuota: a container whose layer and volume are full can be started, and given more at a start or while it runs.
func TestFullQuota(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	const mib = 1 << 20
	for i, p := range profiles {
		id := wire.CTID(323 + i)
		s := box(t, id, forever)
		s.Profile = p
		s.Limits.DiskBytes = 16 * mib
		s.Volumes = []host.Volume{{Name: "data", Path: "/var/data", Bytes: 8 * mib}}
		mustStart(t, r, s)
		for _, path := range []string{"/full", "/var/data/full"} {
			fill := fmt.Sprintf("cat /dev/zero > %s; sync; dd if=/dev/zero of=%s.more bs=4k; sync", path, path)
			if out, _ := sh(t, r, id, fill); !strings.Contains(out, "uota") {
				t.Errorf("profile %s: fill %s: %s", p, path, out)
			}
		}
		if err := r.Stop(deadline(t), id); err != nil {
			t.Errorf("profile %s: stop: %v", p, err)
		}
		for range 3 { // each takes as little as the first
			if _, err := r.Start(deadline(t), s); err != nil {
				t.Errorf("profile %s: start when full: %v", p, err)
				break
			}
			if out, _ := sh(t, r, id, "dd if=/dev/zero of=/more bs=64k count=64"); !strings.Contains(out, "uota") {
				t.Errorf("profile %s: a full container was started, and may write: %s", p, out)
			}
			if err := r.Stop(deadline(t), id); err != nil {
				t.Errorf("profile %s: stop: %v", p, err)
			}
		}
		s.Volumes[0].Bytes, s.Limits.DiskBytes = 16*mib, 32*mib
		if _, err := r.Start(deadline(t), s); err != nil {
			t.Errorf("profile %s: start with more: %v", p, err)
			continue
		}
		l := s.Limits
		for _, l.DiskBytes = range []int64{4 * mib, 32 * mib} { // less than it uses, then more
			if err := r.SetLimits(deadline(t), id, l, 0); err != nil {
				t.Errorf("profile %s: set quota of %d MiB: %v", p, l.DiskBytes>>20, err)
			}
		}
		if out, code := sh(t, r, id,
			"dd if=/dev/zero of=/ten bs=1M count=10 && rm /ten /full* /var/data/full* && echo gone > /var/data/x"); code != 0 {
			t.Errorf("profile %s: after it was given more: %d %s", p, code, out)
		}
	}
}

// TestQuotaProgramCosts prints what the program costs this process, and holds it to what it may.
func TestQuotaProgramCosts(t *testing.T) {
	resident := func() (kib int64) {
		b, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), "VmHWM:")
		kib, _ = strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		return kib
	}
	statfs := func() time.Duration {
		began := time.Now()
		for range 2000 {
			hostDisk(t, "/data")
		}
		return time.Since(began) / 2000
	}
	os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the peak begins anew
	before, without := resident(), statfs()
	began := time.Now()
	p, err := sys.AttachStatfs(2)
	if err != nil {
		t.Fatal(err)
	}
	took, after := time.Since(began), resident()
	with := statfs()
	p.Close()
	t.Logf("loaded in %s, peak %d KiB more; statfs outside containers %s, was %s", took, after-before, with, without)
	if after-before > 4<<10 {
		t.Errorf("loading takes %d KiB, at most 4 MiB are meant", after-before)
	}
}
