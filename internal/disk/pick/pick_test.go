package pick

import (
	"errors"
	"strings"
	"testing"

	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/wire/install"
)

const giB = int64(1) << 30

var (
	blank = disk.Content{Blank: true, Holds: "nothing"}
	ntfs  = disk.Content{Holds: "NTFS"}
	begun = disk.Content{Begun: disk.Begun, Holds: "an installation that was cut short"}
	whole = disk.Content{Installed: true, Identity: "AA-BB", Holds: "an installed host"}
	stick = Found{Disk: install.Disk{Path: "/dev/sdb", Bytes: 8 * giB, Model: "Stick", Transport: "usb"}, Content: ntfs, Sector: 512,
		Used: "it is the boot medium"}
	normal = Machine{UEFI: true, InMemory: true, Source: "/dev/sdb1", Bytes: 40 << 20, Identity: []string{"cc-dd"}}
)

func at(path string, c disk.Content) Found {
	return Found{Disk: install.Disk{Path: path, Bytes: 100 * giB, Model: "Samsung SSD 990", Serial: "S-" + path[len(path)-1:],
		Transport: "nvme",
		IDs:       []string{"wwn-0x5000" + path[len(path)-1:]}}, Content: c, Sector: 512}
}

func with(f Found, change func(*Found)) Found { change(&f); return f }

func TestDecide(t *testing.T) {
	a, b := at("/dev/sda", blank), at("/dev/sdc", blank)
	for _, c := range []struct {
		name    string
		want    install.Spec
		disks   []Found
		path    string // of the chosen disk
		err     string // a part of the error
		machine func(*Machine)
	}{
		{name: "the only blank one", disks: []Found{a, stick}, path: "/dev/sda"},
		{name: "two blank ones", disks: []Found{a, b, stick}, err: "2 disks would do: /dev/sda Samsung SSD 990 S-a 100 GiB, /dev/sdc"},
		{name: "by path", want: install.Spec{Disk: install.Rule{Path: "/dev/sdc"}}, disks: []Found{a, b}, path: "/dev/sdc"},
		{name: "by serial", want: install.Spec{Disk: install.Rule{Serial: "s-C"}}, disks: []Found{a, b}, path: "/dev/sdc"},
		{name: "by id", want: install.Spec{Disk: install.Rule{ID: "/dev/disk/by-id/wwn-0x5000c"}}, disks: []Found{a, b}, path: "/dev/sdc"},
		{name: "by model", want: install.Spec{Disk: install.Rule{Model: "samsung*"}}, disks: []Found{a, stick}, path: "/dev/sda"},
		{name: "by size", want: install.Spec{Disk: install.Rule{MinGiB: 50, MaxGiB: 100}},
			disks: []Found{a, with(b, func(f *Found) { f.Bytes = 200 * giB })}, path: "/dev/sda"},
		{name: "by transport", want: install.Spec{Disk: install.Rule{Transport: "sata"}},
			disks: []Found{a, with(b, func(f *Found) { f.Transport = "sata" })}, path: "/dev/sdc"},
		{name: "no such disk", want: install.Spec{Disk: install.Rule{Model: "Intel*"}}, disks: []Found{a},
			err: "no disk is as install.disk says; there is: /dev/sda"},
		{name: "no disk at all", err: "there is: no disk"},
		{name: "it holds something", disks: []Found{at("/dev/sda", ntfs)}, err: "disk /dev/sda: it holds NTFS; choose another disk, or " +
			"name this one as wipe (/dev/sda)"},
		{name: "it holds something, and is typed", want: install.Spec{Wipe: "/dev/sda"}, disks: []Found{at("/dev/sda", ntfs), b},
			path: "/dev/sda"},
		{name: "another one is typed", want: install.Spec{Wipe: "/dev/sdx"}, disks: []Found{at("/dev/sda", ntfs)},
			err: "wipe names /dev/sdx, which is not a disk that"},
		{name: "typed, but the rule means another", want: install.Spec{Disk: install.Rule{Path: "/dev/sdc"}, Wipe: "/dev/sda"},
			disks: []Found{at("/dev/sda", ntfs), b}, err: "correct one of them"},
		{name: "the boot medium, typed", want: install.Spec{Wipe: "/dev/sdb"}, disks: []Found{stick},
			err: "disk /dev/sdb: it is the boot medium; choose another disk"},
		{name: "too small", disks: []Found{with(a, func(f *Found) { f.Bytes = Least - 1 })},
			err: "it is too small: 3585 MiB, and at least 3586 MiB are needed"},
		{name: "just large enough", disks: []Found{with(a, func(f *Found) { f.Bytes = Least })}, path: "/dev/sda"},
		{name: "read-only, typed", want: install.Spec{Wipe: "/dev/sda"}, disks: []Found{with(a, func(f *Found) { f.ReadOnly = true })},
			err: "disk /dev/sda: it is read-only; take its write protection off"},
		{name: "unreadable", disks: []Found{with(a, func(f *Found) { f.Unread = "input/output error" })},
			err: "it can't be read: input/output error"},
		{name: "large sectors", disks: []Found{with(a, func(f *Found) { f.Sector = 4096 })}, err: "its sectors have 4096 bytes"},
		{name: "cut short", disks: []Found{at("/dev/sda", begun), b}, path: "/dev/sda"},
		{name: "an installed disk", disks: []Found{at("/dev/sda", whole)}, err: "disk /dev/sda: it holds an installed host"},
		{name: "an installed disk, typed", want: install.Spec{Wipe: "/dev/sda"}, disks: []Found{at("/dev/sda", whole)}, path: "/dev/sda"},
		{name: "installed by this wish, typed", want: install.Spec{Wipe: "/dev/sda"}, disks: []Found{at("/dev/sda", whole)},
			machine: func(m *Machine) { m.Identity = []string{"cc-dd", "aa-bb"} },
			err:     "installed with this very configuration; take the boot medium out"},
		{name: "none is free", disks: []Found{at("/dev/sda", ntfs), stick}, err: "no disk is free: disk /dev/sda: it holds NTFS"},
		{name: "BIOS", disks: []Found{a}, machine: func(m *Machine) { m.UEFI = false }, err: "started by a BIOS"},
		{name: "DATA on a disk", disks: []Found{a}, machine: func(m *Machine) { m.InMemory = false }, err: "keeps its DATA on a disk"},
		{name: "installed", disks: []Found{a}, machine: func(m *Machine) { m.Installed = "/dev/sda" }, err: "installed already"},
		{name: "no source", disks: []Found{a}, machine: func(m *Machine) { m.Source = "" }, err: "name a file with it in install.uki"},
		{name: "a huge system", disks: []Found{a}, machine: func(m *Machine) { m.Bytes = 400 << 20 }, err: "must have room for three"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := normal
			if c.machine != nil {
				c.machine(&m)
			}
			p, err := Decide(c.want, c.disks, m)
			if c.err != "" {
				if !errors.Is(err, Refusal) || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %+v, %v; want an error with %q", p.Disk.Path, err, c.err)
				}
				return
			}
			if err != nil || p.Disk.Path != c.path || len(p.Steps) < 5 {
				t.Errorf("got %+v, %v; want %s", p, err, c.path)
			}
			if holds := c.want.Wipe != "" && strings.Contains(p.Wipes, "NTFS"); holds != strings.Contains(p.Steps[0], "NTFS is lost") {
				t.Errorf("what is lost is not said: %q, %q", p.Wipes, p.Steps)
			}
		})
	}
}

// Two disks: both are found by one rule, or each by its own.
func TestDecideTwo(t *testing.T) {
	a, b, c := at("/dev/sda", blank), at("/dev/sdc", blank), at("/dev/sdd", blank)
	paths := func(list ...string) (rules []install.Rule) {
		for _, p := range list {
			rules = append(rules, install.Rule{Path: p})
		}
		return rules
	}
	for _, x := range []struct {
		name  string
		want  install.Spec
		disks []Found
		names string // of the chosen disks
		step  string // a part of the steps
		err   string
	}{
		{name: "the only two", want: install.Spec{Mirror: true}, disks: []Found{a, stick, b}, names: "/dev/sda and /dev/sdc",
			step: "mark /dev/sda as being installed to, mark /dev/sdc as being installed to"},
		{name: "named", want: install.Spec{Disks: paths("/dev/sdc", "/dev/sda")}, disks: []Found{a, b, c}, names: "/dev/sdc and /dev/sda",
			step: "STATE and DATA mirrored"},
		{name: "the same twice", want: install.Spec{Disks: paths("/dev/sda", "/dev/sda")}, disks: []Found{a, b},
			err: "no disk is as install.disks[1] says"},
		{name: "three would do", want: install.Spec{Mirror: true}, disks: []Found{a, b, c}, err: "3 disks would do"},
		{name: "one alone", want: install.Spec{Mirror: true}, disks: []Found{a, stick},
			err: "two disks are wanted, and one would do: /dev/sda Samsung SSD 990 S-a 100 GiB; disk /dev/sdb: it is the boot medium"},
		{name: "one alone and nothing else", want: install.Spec{Mirror: true}, disks: []Found{a}, err: "there is no other; attach one"},
		{name: "the second holds something", want: install.Spec{Mirror: true}, disks: []Found{a, at("/dev/sdc", ntfs)},
			err: "disk /dev/sdc: it holds NTFS"},
		{name: "the second holds something, and is typed", want: install.Spec{Mirror: true, Wipe: "/dev/sdc"},
			disks: []Found{a, at("/dev/sdc", ntfs)}, names: "/dev/sda and /dev/sdc", step: "wipe /dev/sdc: NTFS is lost"},
		{name: "both hold something, and are typed", want: install.Spec{Disks: paths("/dev/sda", "/dev/sdc"),
			Wipes: []string{"/dev/sda", "/dev/sdc"}}, disks: []Found{at("/dev/sda", ntfs), at("/dev/sdc", ntfs)},
			names: "/dev/sda and /dev/sdc", step: "wipe /dev/sda: NTFS is lost, wipe /dev/sdc: NTFS is lost"},
		{name: "a third is typed", want: install.Spec{Disks: paths("/dev/sda", "/dev/sdc"), Wipe: "/dev/sdd"}, disks: []Found{a, b, c},
			err: "wipe names /dev/sdd, which is not a disk that install.disks means"},
		{name: "cut short on both", want: install.Spec{Mirror: true}, disks: []Found{at("/dev/sda", begun), at("/dev/sdc", begun), c},
			names: "/dev/sda and /dev/sdc", step: "take up the installation that was cut short"},
		{name: "cut short on one", want: install.Spec{Mirror: true}, disks: []Found{at("/dev/sda", begun), b},
			names: "/dev/sda and /dev/sdc", step: "take up the installation that was cut short, mark /dev/sdc"},
	} {
		t.Run(x.name, func(t *testing.T) {
			p, err := Decide(x.want, x.disks, normal)
			if x.err != "" {
				if !errors.Is(err, Refusal) || !strings.Contains(err.Error(), x.err) {
					t.Errorf("got %+v, %v; want an error with %q", p.Names(), err, x.err)
				}
				return
			}
			if err != nil || p.Names() != x.names || len(p.Steps) != 8 || !strings.Contains(strings.Join(p.Steps, "\n"), x.step) {
				t.Errorf("got %+v, %v; want %s", p, err, x.names)
			}
		})
	}
}

// A replacement is found as a disk to install to is, and must have room for what lies on the other one.
func TestReplacement(t *testing.T) {
	a := at("/dev/sda", blank)
	for _, c := range []struct {
		name  string
		rule  install.Rule
		wipe  string
		disks []Found
		used  int64
		path  string
		err   string
	}{
		{name: "the only blank one", disks: []Found{a, stick}, path: "/dev/sda", used: 10 * giB},
		{name: "two", disks: []Found{a, at("/dev/sdc", blank)}, err: "no disk is taken: 2 disks would do"},
		{name: "it holds something", disks: []Found{at("/dev/sda", ntfs)}, err: "no disk is taken: disk /dev/sda: it holds NTFS"},
		{name: "it holds something, and is typed", wipe: "/dev/sda", disks: []Found{at("/dev/sda", ntfs)}, path: "/dev/sda"},
		{name: "its filling was cut short", disks: []Found{at("/dev/sda", begun), at("/dev/sdc", blank)}, path: "/dev/sda"},
		{name: "too small", disks: []Found{a}, used: 99 * giB, err: "disk /dev/sda: it is too small: 100 GiB, and what DATA"},
		{name: "none", err: "no disk is as disk says"},
	} {
		got, err := Replacement(c.rule, c.wipe, c.disks, c.used)
		if got.Path != c.path || (c.err == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), c.err) ||
			!errors.Is(err, NotTaken)) {
			t.Errorf("%s: got %q, %v; want %q, %q", c.name, got.Path, err, c.path, c.err)
		}
	}
}

// What is laid out lies on the disk, in order, on borders of 1 MiB, and leaves room for both tables.
func TestLayout(t *testing.T) {
	for _, size := range []int64{Least, Least + 1, Least + 12345, 100 * giB, 7681501126656} {
		end := edge
		for _, p := range Layout(size) {
			if p.Start != end || p.Bytes <= 0 || p.Start%miB != 0 || p.Bytes%miB != 0 {
				t.Errorf("%d bytes: %+v begins not at %d", size, p, end)
			}
			end = p.Start + p.Bytes
		}
		if end > size-edge || size-end > 3*miB {
			t.Errorf("%d bytes: the last partition ends at %d", size, end)
		}
	}
}

// Whatever is wished for, a disk that is in use, can't be written or holds something whose path was not typed is not taken.
func FuzzDecide(f *testing.F) {
	f.Add("/dev/sda", "*", "", "", int64(0), uint8(3))
	f.Add("", "", "/dev/sda", "nvme", int64(10), uint8(255))
	f.Fuzz(func(t *testing.T, path, model, wipe, transport string, least int64, bits uint8) {
		disks := []Found{at("/dev/sda", ntfs), at("/dev/sdc", blank), stick, at("/dev/sdd", begun), at("/dev/sde", whole)}
		for i := range disks {
			if bits&(1<<i) != 0 {
				disks[i].ReadOnly = true
			}
		}
		want := install.Spec{Disk: install.Rule{Path: path, Model: model, Transport: transport, MinGiB: least}, Wipe: wipe,
			Mirror: bits&128 != 0}
		p, err := Decide(want, disks, normal)
		if err != nil {
			if !errors.Is(err, Refusal) {
				t.Errorf("%+v: %v is no refusal", want, err)
			}
			return
		}
		for i, d := range disks {
			if d.Path != p.Disk.Path && (p.Second == nil || d.Path != p.Second.Disk.Path) {
				continue
			}
			if d.ReadOnly || d.Used != "" || (i == 0 || i == 4) && wipe != d.Path {
				t.Errorf("%+v: took %+v", want, d)
			}
		}
	})
}
