//go:build qemu

package boot

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"hardnode.dev/image/uki"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/nbd"
)

// TestCutsOfESP: the power is cut at any write of an update's way into a slot: staging, reading back, the switch. What was not flushed is
// lost, or a part of it. Whatever is left: the loader has a whole system to take, and the host takes the next update as any. An update is
// carried out once, with its writes traced; each cut is a disk of its own, and a machine looks at many of them at once.
// CUTS is how many; SEED repeats them.
func TestCutsOfESP(t *testing.T) {
	build(t)
	seed, cuts := number(t, "SEED", int(time.Now().UnixNano()%1_000_000)), number(t, "CUTS", 6)
	t.Logf("SEED=%d CUTS=%d", seed, cuts)
	rnd := rand.New(rand.NewPCG(uint64(seed), 0))
	dir := harness.Dir(t)
	files := map[string]string{}
	for i, name := range []string{"running", "before", "next"} {
		path := filepath.Join(dir, name+".efi")
		text := bytes.Repeat([]byte(name), (3<<20+i<<18)/len(name))
		if err := os.WriteFile(path, made(t, uki.Section{Name: uki.Release, Data: []byte("VERSION_ID=" + fmt.Sprint(i+1) + "\n")},
			uki.Section{Name: uki.Kernel, Data: []byte("kernel")}, uki.Section{Name: uki.Initrd, Data: text}), 0o600); err != nil {
			t.Fatal(err)
		}
		files["/"+name+".efi"] = path
	}
	guest := func(t *testing.T, part string, disks ...harness.Disk) {
		harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/slots", Run: "^TestCut$", Files: files, Disks: disks,
			Modules: []string{"vfat", "nls_cp437", "nls_ascii"}, Env: []string{"PART=" + part}})
	}
	base := filepath.Join(dir, "base")
	for _, argv := range [][]string{{"truncate", "-s", "1G", base}, {"/usr/sbin/mkfs.vfat", "-F", "32", base}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", argv, err, out)
		}
	}
	guest(t, "begin", harness.Disk{Path: base})
	updated := filepath.Join(dir, "updated")
	sparse(t, base, updated)
	disk, err := nbd.Open(updated)
	if err != nil {
		t.Fatal(err)
	}
	disk.Trace()
	guest(t, "update", harness.Disk{Cut: disk})
	traced := disk.Traced()
	if err := disk.Close(); err != nil {
		t.Fatal(err)
	}
	if t.Failed() {
		t.FailNow()
	}
	flushes := 0
	for _, w := range traced {
		if w.Flush {
			flushes++
		}
	}
	t.Logf("figure: an update is %d writes and %d flushes of the ESP", len(traced)-flushes, flushes)
	if flushes < 4 || len(traced) < 20 {
		t.Fatal("too few to be true: the guest's flushes don't reach the disk")
	}
	const atOnce = 20
	for first := 0; first < cuts; first += atOnce {
		var disks []harness.Disk
		for i := first; i < min(first+atOnce, cuts); i++ {
			path := filepath.Join(dir, fmt.Sprint("cut", i-first))
			sparse(t, base, path)
			d, err := nbd.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			n := rnd.IntN(len(traced) + 1)
			if err := d.Replay(traced[:n]); err != nil {
				t.Fatal(err)
			}
			were, lost, err := d.Cut(rnd)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			t.Logf("disk %d: cut after %d of %d; of %d writes that were not flushed %d are lost, or a part of them", i-first, n,
				len(traced), were, lost)
			disks = append(disks, harness.Disk{Path: path})
		}
		guest(t, "after", disks...)
		if t.Failed() {
			return
		}
	}
}

// made is a system of these sections.
func made(t *testing.T, sections ...uki.Section) []byte {
	t.Helper()
	out, err := uki.Build(stub(t), sections...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
