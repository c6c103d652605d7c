package disk

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"hardnode.dev/internal/disk/mirror"
)

const testSize = 128 << 20

// sparse is a disk of zeros with a few bytes in it.
type sparse map[int64]string

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for at, text := range s {
		for i := range text {
			if pos := at + int64(i) - off; pos >= 0 && pos < int64(len(p)) {
				p[pos] = text[i]
			}
		}
	}
	return len(p), nil
}

func TestEverySignatureIsSeen(t *testing.T) {
	for _, s := range signatures {
		at, size := s.Offset, int64(testSize)
		if at > size {
			size = at * 2
		}
		if at < 0 {
			at += size
		}
		c, err := Inspect(sparse{at: s.Magic}, size)
		if err != nil || c.Blank || c.Holds == "" {
			t.Errorf("%s at %d: got %+v, %v", s.Name, s.Offset, c, err)
		}
	}
}

func TestInspect(t *testing.T) {
	super := func(magic, label string) sparse { return sparse{0x10040: magic, 0x1012b: label} }
	for _, c := range []struct {
		name string
		disk sparse
		size int64
		want Content
	}{
		{"blank", sparse{}, testSize, Content{Blank: true, Holds: "nothing"}},
		{"something in the first MiB", sparse{777777: "x"}, testSize, Content{Holds: "data without a known signature"}},
		{"something in the last MiB", sparse{testSize - 5: "x"}, testSize, Content{Holds: "data without a known signature"}},
		{"our DATA", super("_BHRfS_M", Label), testSize, Content{Data: true, Holds: "DATA of a Hardnode host"}},
		{"our DATA, cut short", super("!BHRfS_M", Label), testSize, Content{HalfMade: true, Holds: "DATA of a Hardnode host, half made"}},
		{"somebody's btrfs", super("_BHRfS_M", "photos"), testSize, Content{Holds: `btrfs labelled "photos"`}},
		{"somebody's btrfs, cut short", super("!BHRfS_M", "photos"), testSize, Content{Holds: "data without a known signature"}},
		{"tiny", sparse{}, 1 << 20, Content{Holds: "too little room (1024 KiB)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := Inspect(c.disk, c.size); err != nil || got != c.want {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

// TestRealFilesystems checks the table against what mkfs really writes, where it is installed.
func TestRealFilesystems(t *testing.T) {
	for _, c := range []struct {
		tool string
		args []string
		want string
	}{
		{"mkfs.ext4", []string{"-q", "-F"}, "ext2/3/4"},
		{"mkfs.btrfs", []string{"-q", "-L", "photos"}, `btrfs labelled "photos"`},
		{"mkfs.btrfs", []string{"-q", "-L", Label}, "DATA of a Hardnode host"},
		{"mkfs.vfat", []string{"-F", "32"}, "FAT32"},
	} {
		t.Run(c.tool+" "+c.want, func(t *testing.T) {
			path, err := exec.LookPath(c.tool)
			if err != nil {
				if path, err = exec.LookPath("/usr/sbin/" + c.tool); err != nil {
					t.Skip(err)
				}
			}
			file := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(file, testSize); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(path, append(c.args, file)...).CombinedOutput(); err != nil {
				t.Skipf("%v: %s", err, out)
			}
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if got, err := Inspect(f, testSize); err != nil || got.Holds != c.want {
				t.Errorf("got %+v, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	blank := Content{Blank: true, Holds: "nothing"}
	ext := Content{Holds: "ext2/3/4"}
	ours := Content{Data: true, Holds: "DATA of a Hardnode host"}
	half := Content{HalfMade: true, Holds: "DATA of a Hardnode host, half made"}
	for _, c := range []struct {
		name, want, wipe string
		disks            []Disk
		action           Action
		path             string
		err              string // a part of the error
	}{
		{"named and blank", "/dev/vda", "", []Disk{{Path: "/dev/vda", Content: blank}}, Format, "/dev/vda", ""},
		{"named and ours", "/dev/vda", "", []Disk{{Path: "/dev/vda", Content: ours}}, Mount, "/dev/vda", ""},
		{"named, ours and to be wiped: it is ours already", "/dev/vda", "/dev/vda", []Disk{{Path: "/dev/vda", Content: ours}}, Mount,
			"/dev/vda", ""},
		{"named and cut short", "/dev/vda", "", []Disk{{Path: "/dev/vda", Content: half}}, Format, "/dev/vda", ""},
		{"named and full", "/dev/vda", "", []Disk{{Path: "/dev/vda", Content: ext}}, "", "",
			"disk /dev/vda: holds ext2/3/4, so it is not formatted"},
		{"named, full and wiped", "/dev/vda", "/dev/vda", []Disk{{Path: "/dev/vda", Content: ext}}, Format, "/dev/vda", ""},
		{"wipe names another", "/dev/vda", "/dev/vdb", []Disk{{Path: "/dev/vda", Content: ext}}, "", "", "must be the same device"},
		{"named and absent", "/dev/vdb", "", []Disk{{Path: "/dev/vda", Content: blank}}, "", "",
			"disk /dev/vdb: is not there (found: /dev/vda (nothing))"},
		{"named, blank and read-only", "/dev/vda", "", []Disk{{Path: "/dev/vda", Content: blank, Busy: "is read-only"}}, "", "",
			"is read-only"},
		{"none", "none", "", []Disk{{Path: "/dev/vda", Content: blank}}, RAM, "", ""},
		{"auto: no disk", "auto", "", nil, RAM, "", ""},
		{"auto: ours before blank", "", "", []Disk{{Path: "/dev/vda", Content: blank}, {Path: "/dev/vdb", Content: ours}}, Mount,
			"/dev/vdb", ""},
		{"auto: the only blank one", "auto", "", []Disk{{Path: "/dev/vda", Content: ext}, {Path: "/dev/vdb", Content: blank}}, Format,
			"/dev/vdb", ""},
		{"auto: two blank ones", "auto", "", []Disk{{Path: "/dev/vda", Content: blank}, {Path: "/dev/vdb", Content: blank}}, "", "",
			"each is blank; name one"},
		{"auto: removable sticks don't count", "auto", "",
			[]Disk{{Path: "/dev/vda", Content: blank}, {Path: "/dev/sdb", Content: blank, Busy: "is removable"}}, Format, "/dev/vda", ""},
		{"auto: only full ones", "auto", "", []Disk{{Path: "/dev/vda", Content: ext}}, "", "", "no blank disk: found /dev/vda (ext2/3/4)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Choose(Wish{Data: c.want, Wipe: c.wipe}, c.disks)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %+v, %v; want an error with %q", got, err, c.err)
				}
				return
			}
			if err != nil || got.Action != c.action || strings.Join(got.Data, " ") != c.path || got.Reason == "" {
				t.Errorf("got %+v, %v; want %s %s with a reason", got, err, c.action, c.path)
			}
		})
	}
}

// An installed host takes the DATA and STATE of the disk that it was booted from; one that is to be installed takes no disk.
func TestChooseInstalled(t *testing.T) {
	blank := Disk{Path: "/dev/vda", Content: Content{Blank: true, Holds: "nothing"}}
	whole := Disk{Path: "/dev/vdb", Content: Content{Installed: true, Holds: "an installed host"}}
	part := Disk{Path: "/dev/vdb3", Of: "/dev/vdb", State: "/dev/vdb2", Content: ours}
	other := Disk{Path: "/dev/vdc3", Of: "/dev/vdc", State: "/dev/vdc2", Content: ours}
	torn := Disk{Path: "/dev/vdb3", Of: "/dev/vdb", Content: ours}
	from := func(d string) Choice {
		return Choice{Action: Mount, Devices: Devices{Data: []string{d + "3"}, State: []string{d + "2"}}}
	}
	note := mirror.New()
	half := func(d string, n mirror.Note, generation uint64) Disk {
		return Disk{Path: d + "3", Of: d, State: d + "2", Content: ours,
			Half: mirror.Half{Disk: d, Note: n, State: generation, Data: generation}}
	}
	one, two := half("/dev/vdb", note, 7), half("/dev/vdc", note, 7)
	both := Choice{Action: Mount, Devices: Devices{Data: []string{"/dev/vdb3", "/dev/vdc3"}, State: []string{"/dev/vdb2", "/dev/vdc2"}}}
	degraded := from("/dev/vdb")
	degraded.Degraded = true
	for _, c := range []struct {
		name  string
		wish  Wish
		disks []Disk
		want  Choice
		err   string
	}{
		{"booted from it", Wish{Booted: "/dev/vdb", Install: true}, []Disk{blank, whole, part}, from("/dev/vdb"), ""},
		{"booted from one of two", Wish{Booted: "/dev/vdc"}, []Disk{part, other}, from("/dev/vdc"), ""},
		{"from a medium, to be installed", Wish{Install: true}, []Disk{blank}, Choice{Action: RAM}, ""},
		{"from a medium, to be installed, with an installed disk", Wish{Install: true}, []Disk{whole, part}, Choice{Action: RAM}, ""},
		{"from a medium, not to be installed", Wish{}, []Disk{whole, part}, from("/dev/vdb"), ""},
		{"from a medium, two of them", Wish{}, []Disk{part, other}, Choice{}, "name one in storage.data"},
		{"STATE is gone", Wish{Booted: "/dev/vdb"}, []Disk{whole, torn}, Choice{},
			"disk /dev/vdb: has DATA of an installed host on /dev/vdb3, and no STATE"},
		{"mirrored", Wish{Booted: "/dev/vdc"}, []Disk{one, two, other}, both, ""},
		{"mirrored, from a medium", Wish{}, []Disk{one, two}, both, ""},
		{"mirrored, and one is gone", Wish{Booted: "/dev/vdb"}, []Disk{one, blank}, degraded, ""},
		{"booted from the half that was away", Wish{Booted: "/dev/vdc"}, []Disk{half("/dev/vdb", note.GoneAlone(), 9), two}, degraded, ""},
		{"each half was alone", Wish{Booted: "/dev/vdc"}, []Disk{half("/dev/vdb", note.GoneAlone(), 9),
			half("/dev/vdc", note.GoneAlone(), 9)}, Choice{}, "each was written without the other"},
		{"the newer half has no DATA any more", Wish{}, []Disk{two, {Path: "/dev/vdb", Content: whole.Content, Half: mirror.Half{
			Disk: "/dev/vdb", Note: note.GoneAlone()}}}, Choice{}, "no disk of the mirror can be used"},
		{"STATE is gone, from a medium", Wish{}, []Disk{whole, torn}, Choice{}, "and no STATE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Choose(c.wish, c.disks)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %+v, %v; want an error with %q", got, err, c.err)
				}
				return
			}
			got.Reason, got.Mirror = "", mirror.Choice{}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

func FuzzInspect(f *testing.F) {
	f.Add([]byte("LUKS\xba\xbe"), int64(0))
	f.Fuzz(func(t *testing.T, data []byte, at int64) {
		if at < 0 || at > edge-int64(len(data)) || len(bytes.Trim(data, "\x00")) == 0 {
			t.Skip()
		}
		c, err := Inspect(sparse{at: string(data)}, testSize)
		if err != nil || c.Blank {
			t.Errorf("a disk with %q at %d: %+v, %v", data, at, c, err)
		}
	})
}

// Devices are named to the kernel, and a missing one is put up with, only when that was decided.
func TestMountOptions(t *testing.T) {
	two := []string{"/dev/vda3", "/dev/vdb3"}
	for _, c := range []struct {
		d    Devices
		own  string
		from []string
		want string
	}{
		{Devices{}, "", two[:1], ""},
		{Devices{}, "compress=zstd:1", two[:1], "compress=zstd:1"},
		{Devices{}, "compress=zstd:1", two, "compress=zstd:1,device=/dev/vda3,device=/dev/vdb3"},
		{Devices{Degraded: true}, "", two[:1], "degraded"},
	} {
		if got := c.d.options(c.own, c.from); got != c.want {
			t.Errorf("%+v: %q, want %q", c, got, c.want)
		}
	}
}
