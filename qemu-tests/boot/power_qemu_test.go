//go:build qemu

package boot

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend"
	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat32"

	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/nbd"
)

// TestPowerCuts: a system is written into a slot, and its boot is asked for, again and again, and the power is cut at a random write; the
// disk loses what was not flushed, or some of it. The host boots every time, into a system that is whole.
// CUTS is how many; SEED repeats them.
func TestPowerCuts(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: a host is booted for each cut; `CUTS=200 make soak PKG=./qemu-tests/boot RUN=TestPowerCuts` " +
			"does that")
	}
	seed := harness.Number(t, "SEED", int(time.Now().UnixNano()%1_000_000))
	t.Logf("SEED=%d CUTS=%d", seed, harness.Number(t, "CUTS", 6))
	rnd := rand.New(rand.NewPCG(uint64(seed), 0))
	dir := harness.Dir(t)
	c, system := onTrial(t, dir)
	inSlot(t, c.Disks[0].Path, slots.B, system)
	m := &cutter{t: t, conf: c, whole: sha256.Sum256(system)}
	m.boot()
	m.typed(t, "slots copy b\r"+knownPassword, 0) // whole, and what it costs
	before := m.disk.Writes()
	m.typed(t, "slots copy b", 0)
	staging := m.disk.Writes() - before
	before = m.disk.Writes()
	m.typed(t, "slots try b --within 60", 0)
	asking := m.disk.Writes() - before
	t.Logf("figure: staging is %d writes, asking for a boot %d", staging, asking)
	m.cut(rnd)
	for i := range harness.Number(t, "CUTS", 6) {
		m.boot()
		line, most := "slots copy b\r"+knownPassword, staging
		if i%2 == 1 {
			line, most = "slots try b --within 60\r"+knownPassword, asking+1
		}
		n := rnd.IntN(most)
		if i%2 == 1 {
			n = i / 2 % most // each in turn
		}
		still := m.disk.StandStill(n)
		if err := m.VM.Console.Type(line + "\r"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-still:
		case <-time.After(20 * time.Second * harness.Scale()):
			t.Logf("%d: fewer than %d writes", i, n)
		}
		were, lost := m.cut(rnd)
		t.Logf("%d: %.11s, cut after %d writes; of %d that were not flushed %d are not there, or in part", i, line, n, were, lost)
	}
	m.boot()
	m.typed(t, "slots copy b\r"+knownPassword, 0) // there is room for it after all that
	m.cut(rnd)
	text, err := espChecked(t, c.Disks[0].Path)
	t.Logf("the ESP in the end: %v\n%s", err, text)
}

// cutter is a host whose power is cut.
type cutter struct {
	*host // of this boot; its test is t
	t     *testing.T
	conf  harness.Config
	whole [32]byte // of the system in both slots
	disk  *nbd.Disk
}

// boot starts the host until it is up in slot a, with the conversation at its terminal begun. What it boots is whole.
func (m *cutter) boot() {
	m.t.Helper()
	for range 3 {
		var err error
		if m.disk, err = nbd.Open(m.conf.Disks[0].Path); err != nil {
			m.t.Fatal(err)
		}
		c := m.conf
		c.Disks = []harness.Disk{c.Disks[0]}
		c.Disks[0].Cut = m.disk
		m.host = start(m.t, c)
		slot := slots.Name(m.sees(`step trial: slot (a|b)`)[1])
		m.up()
		if sum := sha256.Sum256(slotOf(m.t, c.Disks[0].Path, slot)); sum != m.whole {
			m.t.Fatalf("slot %s is booted, and is not whole", slot)
		}
		if slot == slots.A {
			m.mark = m.VM.Console.Mark()
			if err := m.VM.Console.Type("\r"); err != nil {
				m.t.Fatal(err)
			}
			m.sees(`^hardnode console on ttyS0; type help`)
			return
		}
		m.t.Log("it came up in slot b, which was asked for")
		m.VM.Kill()
		if err := m.disk.Close(); err != nil {
			m.t.Fatal(err)
		}
	}
	m.t.Fatal("slot a is not gone back to")
}

// cut cuts the power, and has the disk lose what it may.
func (m *cutter) cut(rnd *rand.Rand) (were, lost int) {
	m.t.Helper()
	m.VM.Kill()
	were, lost, err := m.disk.Cut(rnd)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.disk.Close(); err != nil {
		m.t.Fatal(err)
	}
	return were, lost
}

// oneTable is a disk whose ESP has the first copy of its table, which is the one that counts, as the second too: a cut may leave them
// different, and what reads the ESP here insists on two of a kind.
type oneTable struct {
	backend.Storage
	second, size int64
}

func (d oneTable) ReadAt(p []byte, at int64) (int, error) {
	if at >= d.second && at < d.second+d.size {
		at -= d.size
	}
	return d.Storage.ReadAt(p, at)
}

// looked is the ESP of a disk, to be looked into.
func looked(t *testing.T, path string) *fat32.FileSystem {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	const at = 1 << 20 // of the ESP on its disk
	boot := make([]byte, 64)
	if _, err := f.ReadAt(boot, at); err != nil {
		t.Fatal(err)
	}
	sector := int64(binary.LittleEndian.Uint16(boot[11:]))
	d := oneTable{Storage: file.New(f, true), size: sector * int64(binary.LittleEndian.Uint32(boot[36:]))}
	d.second = at + sector*int64(binary.LittleEndian.Uint16(boot[14:])) + d.size
	fs, err := fat32.Read(d, 1<<30, at, 512)
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// TestFirmwareRename: the loader counts a boot by renaming a file with the firmware's own FAT driver, which flushes nothing and knows no
// order. After each sector of what it writes the host still boots: all are looked at, and each that leaves other entries is booted.
func TestFirmwareRename(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: a host is booted once for each write; `make soak PKG=./qemu-tests/boot RUN=TestFirmwareRename` " +
			"does that")
	}
	dir := harness.Dir(t)
	c, system := onTrial(t, dir)
	path := c.Disks[0].Path
	inSlot(t, path, slots.B, system)
	base := filepath.Join(dir, "base")
	sparse(t, path, base)
	disk, err := nbd.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	disk.Trace()
	traced := c
	traced.Disks = []harness.Disk{{Serial: c.Disks[0].Serial, Cut: disk}}
	h := start(t, traced)
	h.sees(`Linux version`)
	all := disk.Traced()
	h.VM.Kill()
	if err := disk.Close(); err != nil {
		t.Fatal(err)
	}
	var each []nbd.Write // of one sector
	for _, w := range all {
		for at := int64(0); at < w.Size; at += nbd.Sector {
			each = append(each, nbd.Write{At: w.At + at, Size: nbd.Sector, Data: w.Data[at : at+nbd.Sector]})
		}
	}
	t.Logf("figure: the firmware and the loader write %d sectors in %d writes before the kernel starts", len(each), len(all))
	if len(each) == 0 {
		t.Fatal("they write nothing")
	}
	f, err := os.OpenFile(base, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen := map[string]bool{}
	for n := range len(each) + 1 {
		if n > 0 {
			if _, err := f.WriteAt(each[n-1].Data, each[n-1].At); err != nil {
				t.Fatal(err)
			}
		}
		left := entriesOf(t, base)
		if seen[left] {
			continue
		}
		seen[left] = true
		sparse(t, base, path)
		h := start(t, c)
		slot := h.sees(`step trial: slot (a|b)`)[1] // its system was loaded whole, and runs
		h.VM.Kill()
		t.Logf("after %d sectors:%s: slot %s", n, left, slot)
	}
}

// entriesOf are the loader's entries on a disk and what is in them, as far as that can be told.
func entriesOf(t *testing.T, path string) (left string) {
	t.Helper()
	fs := looked(t, path)
	list, err := fs.ReadDir(entries)
	if err != nil {
		return " " + err.Error()
	}
	for _, e := range list {
		text := "cannot be read"
		if from, err := fs.OpenFile("/"+entries+"/"+e.Name(), os.O_RDONLY); err == nil {
			if raw, err := io.ReadAll(io.LimitReader(from, 1<<10)); err == nil {
				text = fmt.Sprintf("%d bytes, %x", len(raw), sha256.Sum256(raw))[:20]
			}
		}
		left += fmt.Sprintf(" %s (%s)", e.Name(), text)
	}
	return left
}

// sparse copies a disk.
func sparse(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "--sparse=always", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
