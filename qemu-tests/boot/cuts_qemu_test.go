//go:build qemu

package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/image/uki"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/nbd"
)

// TestCutsOfESP: the power is cut at any write of an update's way into a slot: staging, reading back, the switch; and of what makes the
// ESP of a second disk like that one after it. What was not flushed is lost, or a part of it. Whatever is left: the loader has a whole
// system to take, the host takes the next update as any, and the second ESP is made like the first. An update is carried out once, with its
// writes traced; the ESPs that cuts left lie one behind another on one disk, at which one machine looks.
// CUTS is how many; SEED repeats them.
func TestCutsOfESP(t *testing.T) {
	build(t)
	seed, cuts := harness.Number(t, "SEED", int(time.Now().UnixNano()%1_000_000)), harness.Number(t, "CUTS", 6)
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
			Modules: []string{"vfat", "nls_cp437", "nls_ascii"}, Env: []string{"PART=" + part},
			Timeout: 5*time.Minute + time.Duration(cuts)*10*time.Second})
	}
	base := filepath.Join(dir, "base")
	for _, argv := range [][]string{{"truncate", "-s", "1G", base}, {"/usr/sbin/mkfs.vfat", "-F", "32", base}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", argv, err, out)
		}
	}
	guest(t, "begin", harness.Disk{Path: base})
	whole := filepath.Join(dir, "whole")
	traced := make([][]nbd.Write, 2) // of the ESP that was booted, and of the other one
	var updated []harness.Disk
	for _, path := range []string{whole, filepath.Join(dir, "other")} {
		sparse(t, base, path)
		d, err := nbd.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		d.Trace()
		updated = append(updated, harness.Disk{Cut: d})
	}
	guest(t, "update", updated...)
	if t.Failed() {
		t.FailNow()
	}
	for i, d := range updated {
		traced[i] = d.Cut.Traced()
		flushes := 0
		for _, w := range traced[i] {
			if w.Flush {
				flushes++
			}
		}
		t.Logf("figure: an update is %d writes and %d flushes of ESP %d", len(traced[i])-flushes, flushes, i+1)
		if flushes < 4 || len(traced[i]) < 20 {
			t.Fatal("too few to be true: the guest's flushes don't reach the disk")
		}
	}
	left := filepath.Join(dir, "left")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(left, int64(cuts)*size); err != nil {
		t.Fatal(err)
	}
	d, err := nbd.Open(left)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := range cuts {
		lay(t, base, left, int64(i)*size)
		all := traced[i%2]
		n := rnd.IntN(len(all) + 1)
		writes := slices.Clone(all[:n])
		for j := range writes {
			writes[j].At += int64(i) * size
		}
		if err := d.Replay(writes); err != nil {
			t.Fatal(err)
		}
		were, lost, err := d.Cut(rnd)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("cut %d: of ESP %d, after %d of %d; of %d writes that were not flushed %d are lost, or a part of them", i, i%2+1, n,
			len(all), were, lost)
	}
	guest(t, "after", harness.Disk{Path: whole}, harness.Disk{Path: left})
}

// size is that of an ESP, in bytes.
const size = 1 << 30

// lay copies a sparse file into another one, at a place that is empty yet.
func lay(t *testing.T, from, to string, at int64) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for end := int64(0); ; {
		begin, err := unix.Seek(int(in.Fd()), end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // no more
			return
		}
		if err == nil {
			end, err = unix.Seek(int(in.Fd()), begin, unix.SEEK_HOLE)
		}
		if err == nil {
			_, err = io.Copy(io.NewOffsetWriter(out, at+begin), io.NewSectionReader(in, begin, end-begin))
		}
		if err != nil {
			t.Fatal(err)
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
