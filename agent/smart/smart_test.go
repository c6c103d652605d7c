package smart

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"hardnode.dev/internal/wire/smart"
)

// TestRequests: the requests are the kernel's.
func TestRequests(t *testing.T) {
	if nvmeAdmin != 0xc0484e41 || unsafe.Sizeof(sgHeader{}) != 88 || unsafe.Offsetof(sgHeader{}.sense) != 32 {
		t.Errorf("NVME_IOCTL_ADMIN_CMD is %#x, struct sg_io_hdr has %d bytes", nvmeAdmin, unsafe.Sizeof(sgHeader{}))
	}
	if got := passThrough(pioIn, 0x0e, smartData); !reflect.DeepEqual(got, []byte{0x85, 8, 0x0e, 0, 0xd0, 0, 1, 0, 0, 0, 0x4f, 0, 0xc2, 0,
		0xb0, 0}) {
		t.Errorf("SMART READ DATA is % x", got)
	}
}

// page is a page of NVMe.
func nvmeWith(change func(p []byte)) []byte {
	p := make([]byte, pageSize)
	binary.LittleEndian.PutUint16(p[1:], 273+35)
	p[3], p[4], p[5] = 100, 10, 3
	binary.LittleEndian.PutUint64(p[128:], 1234)
	change(p)
	return p
}

func TestNVMe(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(p []byte)
		want   string
	}{
		{"well", func([]byte) {}, "good, 3 % worn, 100 % of its spare blocks left, 35 °C, 1234 hours on"},
		{"spare", func(p []byte) { p[0], p[3] = 1, 4 },
			"failing, only 4 % of its spare blocks are left, 3 % worn, 4 % of its spare blocks left, 35 °C, 1234 hours on"},
		{"hot", func(p []byte) { p[0], p[1], p[2] = 2, 0x65, 1 }, "watch, its temperature is out of bounds: see to its cooling, " +
			"3 % worn, 100 % of its spare blocks left, 84 °C, 1234 hours on"},
		{"read-only and hot", func(p []byte) { p[0] = 8 | 4 | 2 }, "failing, errors make it unreliable; it takes no writes any more; " +
			"its temperature is out of bounds: see to its cooling, 3 % worn, 100 % of its spare blocks left, 35 °C, 1234 hours on"},
		{"worn", func(p []byte) { p[5] = 104 },
			"watch, 104 % of the writing that its maker gives it is done, 104 % worn, 100 % of its spare blocks left, 35 °C, " +
				"1234 hours on"},
		{"errors", func(p []byte) { p[160], p[175] = 7, 1 },
			"good, 3 % worn, 100 % of its spare blocks left, 35 °C, 1234 hours on, 9223372036854775807 media errors"},
	} {
		d, err := nvmePage(nvmeWith(c.change))
		if err != nil || d.Line() != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, d.Line(), err, c.want)
		}
	}
	if _, err := nvmePage(make([]byte, 511)); err == nil || !strings.Contains(err.Error(), "has 511 bytes") {
		t.Errorf("a short page: %v", err)
	}
}

// ataWith is a page of SMART with attributes: id, value, raw.
func ataWith(attributes ...[3]uint32) []byte {
	p := make([]byte, pageSize)
	for i, a := range attributes {
		p[2+12*i], p[2+12*i+3] = byte(a[0]), byte(a[1])
		binary.LittleEndian.PutUint32(p[2+12*i+5:], a[2])
	}
	for _, b := range p[:511] {
		p[511] -= b
	}
	return p
}

func TestATA(t *testing.T) {
	plain := ataWith([3]uint32{9, 99, 5000}, [3]uint32{190, 70, 30}, [3]uint32{194, 64, 36}, [3]uint32{5, 100, 2})
	for _, c := range []struct {
		name    string
		page    []byte
		verdict ataVerdict
		want    string
	}{
		{"well", plain, ataWell, "good, 36 °C, 5000 hours on, 2 reallocated blocks"},
		{"fails", plain, ataFails, "failing, it says that it will fail soon, 36 °C, 5000 hours on, 2 reallocated blocks"},
		{"unsaid", plain, ataUnsaid, "unknown, it does not say whether it will fail soon, 36 °C, 5000 hours on, 2 reallocated blocks"},
		{"pending", ataWith([3]uint32{197, 100, 8}, [3]uint32{198, 100, 3}), ataWell,
			"watch, 8 of its blocks can't be read, 3 media errors, 8 unreadable blocks"},
		{"worn", ataWith([3]uint32{202, 4, 0}), ataWell, "watch, 96 % of the writing that its maker gives it is done, 96 % worn"},
		{"nothing", ataWith(), ataWell, "good"},
	} {
		d, err := ataPage(c.page, c.verdict)
		if err != nil || d.Line() != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, d.Line(), err, c.want)
		}
	}
	plain[100]++
	if _, err := ataPage(plain, ataWell); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a changed page: %v", err)
	}
	if _, err := ataPage(nil, ataWell); err == nil || !strings.Contains(err.Error(), "has 0 bytes") {
		t.Errorf("no page: %v", err)
	}
}

func TestVerdict(t *testing.T) {
	descriptor := func(mid, high byte) []byte {
		s := make([]byte, 22)
		s[0], s[1], s[7], s[8], s[9], s[17], s[19] = 0x72, 1, 14, 9, 12, mid, high
		return s
	}
	fixed := func(mid, high byte) []byte {
		s := make([]byte, 18)
		s[0], s[2], s[10], s[11] = 0xf0, 1, mid, high
		return s
	}
	for i, c := range []struct {
		sense []byte
		want  ataVerdict
	}{{descriptor(0x4f, 0xc2), ataWell}, {descriptor(0xf4, 0x2c), ataFails}, {fixed(0x4f, 0xc2), ataWell}, {fixed(0xf4, 0x2c), ataFails},
		{fixed(0, 0), ataUnsaid}, {nil, ataUnsaid}, {descriptor(0x4f, 0xc2)[:20], ataUnsaid}} {
		if got := verdictOf(c.sense); got != c.want {
			t.Errorf("%d: %v, want %v", i, got, c.want)
		}
	}
}

func TestSCSI(t *testing.T) {
	log := func(number byte, code uint16, data ...byte) []byte {
		p := make([]byte, pageSize)
		p[0] = number
		binary.BigEndian.PutUint16(p[2:], uint16(4+len(data)))
		binary.BigEndian.PutUint16(p[4:], code)
		p[7] = byte(len(data))
		copy(p[8:], data)
		return p
	}
	for _, c := range []struct {
		name              string
		exceptions, media []byte
		want              string
	}{
		{"well", log(0x2f, 0, 0, 0, 29, 0), nil, "good, 29 °C"},
		{"fails", log(0x2f, 0, 0x5d, 0x10, 29, 0), log(0x11, 1, 0, 0, 0, 12),
			"failing, it says that it will fail soon (5Dh/10h), 12 % worn, 29 °C"},
		{"a test", log(0x2f, 0, 0x5d, 0xff, 0xff, 0), nil, "good"},
		{"hot", log(0x2f, 0, 0x0b, 0x01, 71, 0), nil, "watch, its temperature is out of bounds: see to its cooling, 71 °C"},
		{"worn", log(0x2f, 0, 0, 0, 29, 0), log(0x11, 1, 0, 0, 0, 91),
			"watch, 91 % of the writing that its maker gives it is done, 91 % worn, 29 °C"},
	} {
		d, err := scsiPages(c.exceptions, c.media)
		if err != nil || d.Line() != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, d.Line(), err, c.want)
		}
	}
	if _, err := scsiPages(log(0x0d, 0, 0, 0), nil); err == nil || !strings.Contains(err.Error(), "gave another one") {
		t.Errorf("another page: %v", err)
	}
	if _, err := scsiPages(log(0x2f, 5, 1, 2), nil); !errors.Is(err, errSilent) {
		t.Errorf("a page without its parameter: %v", err)
	}
}

// FuzzPages: what a disk says may be anything.
func FuzzPages(f *testing.F) {
	f.Add(nvmeWith(func([]byte) {}), []byte{0x72, 1})
	f.Add(ataWith([3]uint32{9, 99, 5000}), []byte{0xf0, 0, 1})
	f.Add([]byte{0x2f, 0, 0xff, 0xff, 0, 0, 3, 200}, []byte{0x11, 0, 0, 8, 0, 1, 3, 4, 0, 0, 0, 99})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		for _, read := range []func() (smart.Health, error){func() (smart.Health, error) { return nvmePage(a) },
			func() (smart.Health, error) { return ataPage(a, verdictOf(b)) }, func() (smart.Health, error) { return scsiPages(a, b) }} {
			if d, err := read(); err == nil && (d.State == "" || d.Hours < 0 || d.MediaErrors < 0 || d.Wear != nil && *d.Wear < 0) {
				t.Errorf("%+v", d)
			}
		}
	})
}

// machine is a /sys with disks.
func machine(t *testing.T, files map[string]string) *Keeper {
	t.Helper()
	sys := t.TempDir()
	for name, text := range files {
		path := filepath.Join(sys, "block", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k := New(Options{Sys: sys, Dev: "/dev", Errors: func() map[string]int64 { return nil }, Mirrored: func() bool { return false }})
	k.wait = time.Minute
	return k
}

// TestLook: each disk is asked in its own way; what is no disk, or is no part of the machine, is not.
func TestLook(t *testing.T) {
	k := machine(t, map[string]string{
		"nvme0n1/device/model": "Fast \x1b[31m1\n", "nvme0n1/device/serial": "N1\n",
		"nvme0c0n1/device/model": "a path of it", "nvme0c0n1/hidden": "1\n",
		"sda/device/vendor": "ATA     \n", "sda/device/model": "Old\n",
		"sdb/device/vendor": "MAKER\n", "sdc/device/vendor": "STICK\n", "sdc/removable": "1\n", "sr0/device/vendor": "CD\n",
		"vda/device/vendor": "0x1af4\n", "vda/serial": "V1\n", "loop0/size": "0\n", "dm-0/size": "8\n",
	})
	kinds := map[string]kind{}
	for _, f := range k.find() {
		kinds[f.Path] = f.kind
	}
	wanted := map[string]kind{"/dev/nvme0n1": nvmeDisk, "/dev/sda": ataDisk, "/dev/sdb": scsiDisk, "/dev/vda": noKind}
	if !reflect.DeepEqual(kinds, wanted) {
		t.Fatalf("the disks are %v, want %v", kinds, wanted)
	}
	k.ask = func(path string, _ kind) (smart.Health, error) {
		switch path {
		case "/dev/sda":
			return smart.Health{State: smart.Watch, Reason: "8 of its blocks can't be read"}, nil
		case "/dev/sdb":
			return smart.Health{}, errSilent
		}
		return smart.Health{State: smart.Failing, Reason: "it takes no writes any more"}, nil
	}
	k.o.Errors = func() map[string]int64 { return map[string]int64{"/dev/sda": 3} }
	var lines []string
	for _, d := range k.look(t.Context(), time.Now()) {
		lines = append(lines, d.Path+" "+d.Model+" "+d.Serial+": "+d.Line())
	}
	want := []string{"/dev/nvme0n1 Fast [31m1 N1: failing, it takes no writes any more",
		"/dev/sda Old : failing, 8 of its blocks can't be read; 3 reads or writes of it failed, 3 errors counted by btrfs",
		"/dev/sdb  : unknown, no health information", "/dev/vda  V1: unknown, no health information"}
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("got  %q\nwant %q", lines, want)
	}
	if ps := k.Problems(); len(ps) != 2 || ps[0].Object != "disk /dev/nvme0n1 (Fast [31m1 N1)" ||
		ps[0].Reason != "it is failing: it takes no writes any more" {
		t.Errorf("the problems are %+v", ps)
	}
	k.o.Mirrored = func() bool { return true }
	if ps := k.Problems(); len(ps) != 1 {
		t.Errorf("of a mirror, whose disks with errors are told of already, the problems are %+v", ps)
	}
}

// TestHangs: a disk that does not answer holds nobody up, and is asked once.
func TestHangs(t *testing.T) {
	k := machine(t, map[string]string{"nvme0n1/device/model": "Dead\n", "sda/device/vendor": "ATA\n"})
	hold, over := make(chan struct{}), make(chan struct{})
	var asked atomic.Int32
	k.ask = func(path string, _ kind) (smart.Health, error) {
		if path == "/dev/nvme0n1" {
			asked.Add(1)
			<-hold
			defer close(over)
		}
		return smart.Health{State: smart.Good}, nil
	}
	states := func(at time.Time) (out string) {
		for _, d := range k.look(t.Context(), at) {
			out += string(d.State) + " "
		}
		return out
	}
	now := time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	k.wait = 50 * time.Millisecond
	if got := states(now); !strings.HasPrefix(got, "watch ") {
		t.Errorf("at the first look: %s", got)
	}
	for answered := false; !answered; time.Sleep(time.Millisecond) { // the test's own limit ends it
		k.mu.Lock()
		_, waits := k.mu.asked["/dev/sda"]
		answered = !waits
		k.mu.Unlock()
	}
	k.wait = time.Minute // the other one answers in it; nothing waits for the dead one
	if got := states(now.Add(every)); got != "failing good " {
		t.Errorf("at the second look: %s", got)
	}
	if ps := k.Problems(); len(ps) != 1 || ps[0].Reason != "it is failing: it has not answered since 2026-11-27T10:00:00Z" {
		t.Errorf("the problems are %+v", ps)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
	close(hold)
	<-over
	k.ask = func(string, kind) (smart.Health, error) { return smart.Health{State: smart.Good}, nil }
	for end := time.Now().Add(time.Minute); ; { // that it has answered is noted after it has
		if got := states(now.Add(2 * every)); got == "good good " {
			break
		} else if time.Now().After(end) {
			t.Fatalf("when it answers again: %s", got)
		}
	}
}
