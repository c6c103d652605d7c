package disk

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/partition/gpt"
	"github.com/diskfs/go-diskfs/partition/mbr"
)

// file makes a file of testSize zeros.
func file(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(testSize); err != nil {
		t.Fatal(err)
	}
	return f
}

// tabled makes a disk with a GPT of partitions of those types.
func tabled(t *testing.T, types ...string) *os.File {
	f := file(t)
	table := gpt.Table{LogicalSectorSize: 512, PhysicalSectorSize: 512, ProtectiveMBR: true, GUID: "5AD0A0A2-B9E5-4433-87C0-68B6B72699C7"}
	for i, kind := range types {
		start := uint64(2048 * (i + 1))
		table.Partitions = append(table.Partitions, &gpt.Partition{Index: i + 1, Start: start, End: start + 2047, Size: 1 << 20,
			Type: gpt.Type(kind)})
	}
	if err := table.Write(f, testSize); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTables(t *testing.T) {
	ours := []string{TypeESP, TypeState, TypeData}
	for _, c := range []struct {
		name  string
		types []string
		note  Progress
		want  Content
	}{
		{"Windows", []string{TypeESP, "E3C9E316-0B5C-4DB8-817D-F92DF00215AE", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"}, NotBegun,
			Content{Holds: "GPT partition table with partitions: EFI system, Windows reserved, Windows data"}},
		{"Linux", []string{"E6D6D379-F507-44C2-A23C-238F2A3DF928"}, NotBegun,
			Content{Holds: "GPT partition table with partitions: Linux LVM"}},
		{"no partitions", nil, NotBegun, Content{Holds: "GPT partition table"}},
		{"ours", ours, NotBegun, Content{Installed: true, Identity: "5AD0A0A2-B9E5-4433-87C0-68B6B72699C7",
			Holds: "the system and the data of an installed Hardnode host"}},
		{"ours, all but the end written", ours, Written, Content{Installed: true, Begun: Written,
			Identity: "5AD0A0A2-B9E5-4433-87C0-68B6B72699C7",
			Holds:    "the system and the data of an installed Hardnode host"}},
		{"ours, cut short", ours, Begun, Content{Begun: Begun, Holds: "an installation of a Hardnode host that was cut short"}},
		{"cut short before the table", nil, Begun, Content{Begun: Begun, Holds: "an installation of a Hardnode host that was cut short"}},
		{"written, and another table since", []string{TypeESP}, Written, Content{Begun: Begun,
			Holds: "an installation of a Hardnode host that was damaged"}},
		{"a part of ours", []string{TypeESP, TypeData}, NotBegun, Content{Holds: "GPT partition table with partitions: EFI system, " +
			"Hardnode's DATA"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := tabled(t, c.types...)
			if _, err := f.WriteAt(Note(c.note), NoteAt); err != nil {
				t.Fatal(err)
			}
			if got, err := Inspect(f, testSize); err != nil || got != c.want {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

func TestMBR(t *testing.T) {
	f := file(t)
	table := mbr.Table{LogicalSectorSize: 512, PhysicalSectorSize: 512, Partitions: []*mbr.Partition{{Type: mbr.Type(7), Start: 2048,
		Size: 2048},
		{Type: mbr.Type(0x8e), Start: 8192, Size: 2048}}}
	if err := table.Write(f, testSize); err != nil {
		t.Fatal(err)
	}
	if got, err := Inspect(f, testSize); err != nil || got.Holds != mbrName+" with partitions: Windows, Linux LVM" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// What lies where a first partition begins is seen although its table is gone.
func TestTableGone(t *testing.T) {
	if got, err := Inspect(sparse{1<<20 + 3: "NTFS    "}, testSize); err != nil || got.Blank {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestNote(t *testing.T) {
	for _, p := range []Progress{NotBegun, Begun, Written} {
		if got := ReadNote(Note(p)); got != p || len(Note(p)) != NoteSize {
			t.Errorf("%q: read as %q, %d bytes", p, got, len(Note(p)))
		}
	}
	if got := ReadNote([]byte(noteMagic + "something else\n")); got != Begun {
		t.Errorf("a note of a later version: %q", got)
	}
}

// TestWipefs holds the table against libblkid's: what wipefs sees on a disk that a tool has made is seen here too. (LVM's, RAID's and ZFS's
// own tools work on devices and register what they make: those are tested from the table.)
func TestWipefs(t *testing.T) {
	wipefs, err := exec.LookPath("wipefs")
	if err != nil {
		t.Skip(err)
	}
	for _, argv := range [][]string{{"mkfs.ext2", "-q", "-F"}, {"mkfs.ext4", "-q", "-F", "-b", "4096"}, {"mkfs.btrfs", "-q"}, {"mkfs.vfat",
		"-F", "16"},
		{"mkfs.vfat", "-F", "32"}, {"mkfs.minix"}, {"mkfs.bfs"}, {"mkswap", "-q"}, {"mkfs.xfs", "-q", "-f"}, {"mkfs.ntfs", "-q", "-F",
			"-f"},
		{"mkfs.exfat"}, {"mkfs.f2fs", "-q", "-f"}, {"mkfs.erofs"}, {"cryptsetup", "-q", "luksFormat", "--key-file", "/etc/os-release"}} {
		t.Run(strings.Join(argv, " "), func(t *testing.T) {
			tool, err := exec.LookPath(argv[0])
			if err != nil {
				if tool, err = exec.LookPath("/usr/sbin/" + argv[0]); err != nil {
					t.Skip(err)
				}
			}
			f := file(t)
			args := append(argv[1:len(argv):len(argv)], f.Name())
			if argv[0] == "mkfs.erofs" {
				args = append(args, t.TempDir())
			}
			if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
				t.Skipf("%v: %s", err, out)
			}
			if argv[0] == "mkfs.erofs" {
				if err := os.Truncate(f.Name(), testSize); err != nil {
					t.Fatal(err)
				}
			}
			seen, err := exec.Command(wipefs, "--no-act", f.Name()).CombinedOutput()
			if err != nil {
				t.Fatalf("wipefs: %v: %s", err, seen)
			}
			r, err := os.Open(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			got, err := Inspect(r, testSize)
			if err != nil || got.Blank || got.Data || got.HalfMade || got.Installed {
				t.Errorf("got %+v, %v; wipefs sees\n%s", got, err, seen)
			}
			t.Logf("%s; wipefs: %s", got.Holds, bytes.TrimSpace(seen))
		})
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte("EFI PART"), uint64(2), uint32(128), uint32(128))
	f.Fuzz(func(t *testing.T, raw []byte, at uint64, count, size uint32) {
		d := sparse{512: "EFI PART" + string(raw), 4096: "EFI PART" + string(raw)}
		if c, err := Inspect(d, testSize); err != nil || c.Blank || c.Data {
			t.Errorf("a disk with a damaged table: %+v, %v", c, err)
		}
	})
}
