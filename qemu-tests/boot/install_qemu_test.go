//go:build qemu

package boot

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat32"

	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/qemu-tests/harness"
)

// installSize is the disk that is installed to, in MiB.
const installSize = 4096

// stick is a boot medium with a configuration; "" is none.
func stick(t *testing.T, dir, yaml string) string {
	t.Helper()
	root := build(t)
	for _, goal := range []string{"disk", "bin"} {
		cmd := exec.Command("make", "--no-print-directory", "-s", goal)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make %s: %v\n%s", goal, err, out)
		}
	}
	return medium(t, dir, filepath.Join(root, "out/media/host.disk"), yaml)
}

// medium is a copy of a medium, with a configuration.
func medium(t *testing.T, dir, from, yaml string) string {
	t.Helper()
	text, file := filepath.Join(dir, "hardnode.yaml"), filepath.Join(dir, "medium")
	if err := os.WriteFile(text, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	steps := [][]string{{"cp", "--sparse=always", from, file},
		{filepath.Join(build(t), "out/bin/hnctl"), "media", "add-config", "--replace", text, file}}
	if yaml == "" {
		steps = steps[:1]
	}
	for _, argv := range steps {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", argv, err, out)
		}
	}
	return file
}

// TestInstall: a host is booted from a medium whose configuration says install; the plan is shown, carried out, and the host comes up from
// the disk alone, with its configuration; booted from the medium again it says that it is installed, and touches nothing.
func TestInstall(t *testing.T) {
	for _, bus := range []harness.Bus{harness.Virtio, harness.NVMe, harness.AHCI} {
		t.Run(string(bus), func(t *testing.T) {
			if bus != harness.Virtio && os.Getenv("HARDNODE_SOAK") == "" {
				t.Skip("HARDNODE_SOAK is not set: make test installs to one disk")
			}
			dir := harness.Dir(t)
			medium := harness.Disk{Path: stick(t, dir, config+"install: {disk: {serial: SYSTEM*}}\n")}
			target := harness.Disk{Path: filepath.Join(dir, "disk"), SizeMiB: installSize, Serial: "SYSTEM-1", Bus: bus}
			c := machine(t, dir, "")
			c.Kernel, c.Initrd, c.UEFI = "", nil, true
			c.Disks = []harness.Disk{medium, target}
			h := start(t, c)
			h.sees(`step data: /dev/zram0: this host is to be installed`)
			path := h.sees(`install: plan: (/dev/\S+), 4096 MiB`)[1]
			h.sees(`install: plan: 2. partition it: ESP 1024 MiB, STATE 512 MiB, DATA 2558 MiB`)
			h.sees(`install: 8 of 8: reboot from it`)
			h.sees(`reboot: installed on ` + path)
			h.off()
			installed(t, target.Path)

			c.Disks = []harness.Disk{target}
			h = start(t, c)
			h.sees(`"Hardnode" from HD\(1,GPT,`)
			h.sees(`step firmware: UEFI, booted from partition`)
			h.sees(`step config: host host-1, role user`)
			h.sees(`step data: ` + path[:len(path)-1] + `\S+: it holds the DATA of this installed host`)
			h.up()
			h.counted(target.Path, "hardnode-1-a+3.conf", "hardnode-3-rescue.conf") // the loader's count is given back once the host is up
			h.VM.Kill()
			if bus != harness.Virtio {
				return
			}
			// A system that can't be loaded comes first: the loader returns to the firmware, whose next entry takes the other slot.
			spoil(t, target.Path)
			h = start(t, c)
			h.sees(`"Hardnode" from HD\(1,GPT,`)
			h.sees(`"Hardnode, again" from HD\(1,GPT,`)
			h.sees(`step trial: slot a`)
			h.up()
			h.counted(target.Path, "hardnode-1-a+3.conf", "hardnode-2-b+0.conf", "hardnode-3-rescue.conf")
			h.VM.Kill()
			if os.Getenv("HARDNODE_SOAK") == "" {
				return
			}

			c.Disks = []harness.Disk{medium, target}
			h = start(t, c)
			h.sees(`install: not installed: disk /dev/vdb: it was installed with this very configuration; take the boot medium out`)
		})
	}
}

// fromDisk is a host that was installed, up from its one disk alone: its terminals ask for a password.
func fromDisk(t *testing.T, dir string) (harness.Config, *host) {
	t.Helper()
	medium := harness.Disk{Path: stick(t, dir, config+consolePassword(t)+"install: {disk: {serial: SYSTEM*}}\n")}
	target := harness.Disk{Path: filepath.Join(dir, "disk"), SizeMiB: installSize, Serial: "SYSTEM-1", Bus: harness.Virtio}
	c := machine(t, dir, "")
	c.Kernel, c.Initrd, c.UEFI, c.Timeout = "", nil, true, time.Hour*harness.Scale()
	c.Disks = []harness.Disk{medium, target}
	h := start(t, c)
	h.sees(`install: 8 of 8: reboot from it`)
	h.off()
	c.Disks = []harness.Disk{target}
	h = start(t, c)
	h.up()
	h.counted(target.Path, "hardnode-1-a+3.conf", "hardnode-3-rescue.conf")
	return c, h
}

// installed looks at a disk from outside: the note is gone, and the ESP is whole.
func installed(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if c, err := disk.Inspect(f, installSize<<20); err != nil || !c.Installed || c.Begun != disk.NotBegun {
		t.Errorf("the disk holds %+v, %v", c, err)
	}
	if text, err := espChecked(t, path); err != nil || strings.Contains(text, "differ") {
		t.Errorf("fsck.vfat: %v\n%s", err, text)
	}
}

// espChecked is what fsck.vfat says of a disk's ESP, and whether it is whole.
func espChecked(t *testing.T, path string) (string, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	esp := path + ".esp"
	to, err := os.Create(esp)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(esp)
	defer to.Close()
	part, block := io.NewSectionReader(f, 1<<20, 1<<30), make([]byte, 1<<20)
	for at := int64(0); at < part.Size(); at += int64(len(block)) {
		if _, err := part.ReadAt(block, at); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(block, make([]byte, len(block))) {
			if _, err := to.WriteAt(block, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := to.Truncate(part.Size()); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("/usr/sbin/fsck.vfat", "-n", "-v", esp).CombinedOutput()
	return string(out), err
}

// esp is the ESP of a disk, as it lies in the file.
func esp(f *os.File) (*fat32.FileSystem, error) {
	return fat32.Read(file.New(f, false), 1<<30, 1<<20, 512)
}

// espOf is the ESP of a disk that no machine uses, to be written to until the test ends.
func espOf(t *testing.T, path string) *fat32.FileSystem {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fs, err := esp(f)
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

const entries = "loader/entries"

// counted waits until the loader's entries on the disk have these names.
func (h *host) counted(path string, want ...string) {
	h.T.Helper()
	ctx, cancel := h.limit()
	defer cancel()
	var names []string
	for {
		names = nil
		if f, err := os.Open(path); err == nil {
			if fs, err := esp(f); err == nil {
				list, err := fs.ReadDir(entries)
				for _, e := range list {
					names = append(names, strings.ToLower(e.Name()))
				}
				if slices.Sort(names); err == nil && slices.Equal(names, want) {
					f.Close()
					return
				}
			}
			f.Close()
		}
		if !run.Wait(ctx, time.Second) {
			h.T.Errorf("the loader's entries are %q, want %q", names, want)
			return
		}
	}
}

// spoil puts a system that is cut off into slot b, and b before a.
func spoil(t *testing.T, path string) {
	t.Helper()
	fs := espOf(t, path)
	put := func(name string, data []byte) { put(t, fs, name, data) }
	from, err := fs.OpenFile("/EFI/hardnode/a.efi", os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 4<<20)
	if _, err := io.ReadFull(from, head); err != nil {
		t.Fatal(err)
	}
	put("/EFI/hardnode/b.efi", head)
	for _, e := range []bootorder.Entry{{Slot: slots.B, Rank: 1, Version: "9", Left: 1}, {Slot: slots.A, Rank: 2, Version: "1", Left: 1}} {
		put("/"+entries+"/"+e.Name(), []byte(e.Text()))
	}
	if err := fs.Remove("/" + entries + "/hardnode-1-a+3.conf"); err != nil {
		t.Fatal(err)
	}
}

// put writes the beginning of a file of an ESP, which is made if it is not there.
func put(t *testing.T, fs *fat32.FileSystem, name string, data []byte) {
	t.Helper()
	to, err := fs.OpenFile(name, os.O_CREATE|os.O_RDWR)
	if err == nil {
		_, err = to.Write(data)
		err = errors.Join(err, to.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}
