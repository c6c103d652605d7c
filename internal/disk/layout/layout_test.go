package layout

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/wire/install"
)

const size = 400 << 20

var parts = []install.Partition{{Name: "ESP", Start: 1 << 20, Bytes: 64 << 20}, {Name: "STATE", Start: 65 << 20, Bytes: 16 << 20},
	{Name: "DATA", Start: 81 << 20, Bytes: 300 << 20}}

const identity = "5AD0A0A2-B9E5-4433-87C0-68B6B72699C7"

func blank(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f
}

func look(t *testing.T, f *os.File) disk.Content {
	t.Helper()
	c, err := disk.Inspect(f, size)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Whatever the disk held, at each step it is known as one that is being installed to, and at the end as an installed one.
func TestSteps(t *testing.T) {
	for _, tool := range [][]string{nil, {"mkfs.btrfs", "-q", "-f"}, {"mkfs.ext4", "-q", "-F"}} {
		f := blank(t)
		if tool != nil {
			if out, err := exec.Command("/usr/sbin/"+tool[0], append(tool[1:], f.Name())...).CombinedOutput(); err != nil {
				t.Skipf("%v: %s", err, out)
			}
			if c := look(t, f); c.Blank {
				t.Fatalf("%v left a blank disk", tool)
			}
		}
		begun := func(after string) {
			if c := look(t, f); c.Begun != disk.Begun || c.Installed {
				t.Errorf("%v, after %s: %+v", tool, after, c)
			}
		}
		if err := SetNote(f, disk.Begun); err != nil {
			t.Fatal(err)
		}
		begun("the note")
		if err := Clear(f, size, parts); err != nil {
			t.Fatal(err)
		}
		begun("clearing")
		esp, err := Partition(f, size, parts, identity)
		if err != nil || esp.Number != 1 || esp.Start != 2048 || esp.Size != 64<<20/512 || len(esp.GUID) != len(identity) {
			t.Errorf("%v: %+v, %v", tool, esp, err)
		}
		begun("the table")
		if err := SetNote(f, disk.Written); err != nil {
			t.Fatal(err)
		}
		if c := look(t, f); c.Begun != disk.Written || !c.Installed {
			t.Errorf("%v, written: %+v", tool, c)
		}
		if err := SetNote(f, disk.NotBegun); err != nil {
			t.Fatal(err)
		}
		if c := look(t, f); c.Begun != disk.NotBegun || !c.Installed || c.Identity != identity {
			t.Errorf("%v, at the end: %+v", tool, c)
		}
		if tool == nil {
			continue
		}
		if out, err := exec.Command("wipefs", "--no-act", "--noheadings", f.Name()).CombinedOutput(); errors.Is(err, exec.ErrNotFound) {
			t.Log(err)
		} else if kinds := string(out); err != nil || strings.Contains(kinds, "btrfs") || strings.Contains(kinds, "ext4") {
			t.Errorf("%v: somebody else sees, %v:\n%s", tool, err, out)
		}
	}
}

// A disk that is cleared is blank but for the note.
func TestClear(t *testing.T) {
	f := blank(t)
	for _, at := range append(disk.Elsewhere(size), 0, disk.NoteAt-1, disk.NoteAt+disk.NoteSize, zeroed-1, size-1, size-zeroed, 65<<20+5) {
		if _, err := f.WriteAt([]byte("x"), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := SetNote(f, disk.Begun); err != nil {
		t.Fatal(err)
	}
	if err := Clear(f, size, parts); err != nil {
		t.Fatal(err)
	}
	if err := SetNote(f, disk.NotBegun); err != nil {
		t.Fatal(err)
	}
	if c := look(t, f); !c.Blank {
		t.Errorf("it still holds %+v", c)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, 65<<20+5); err != nil || b[0] != 0 {
		t.Errorf("a partition begins with what was there: %q, %v", b, err)
	}
}

// The ESP is one that others take for whole.
func TestFormat(t *testing.T) {
	f := blank(t)
	if err := Format(f); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("/usr/sbin/fsck.vfat", "-n", f.Name()).CombinedOutput(); errors.Is(err, os.ErrNotExist) {
		t.Skip("fsck.vfat is not installed: run make deps")
	} else if err != nil {
		t.Errorf("fsck.vfat: %v\n%s", err, out)
	}
	if err := f.Truncate(8 << 20); err != nil {
		t.Fatal(err)
	}
	if err := Format(f); err == nil || !strings.Contains(err.Error(), "FAT32 needs") {
		t.Errorf("an ESP of 8 MiB: %v", err)
	}
}
