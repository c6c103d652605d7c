package efi

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var esp = Partition{Number: 1, Start: 2048, Size: 2097152, GUID: "5AD0A0A2-B9E5-4433-87C0-68B6B72699C7"}

// The bytes are written down from the specification.
func TestEncode(t *testing.T) {
	got, err := Entry{"Hardnode", esp, "EFI/a.efi"}.encode()
	if err != nil {
		t.Fatal(err)
	}
	want := "01000000" + "4800" + hex.EncodeToString([]byte("H\x00a\x00r\x00d\x00n\x00o\x00d\x00e\x00\x00\x00")) +
		"04012a00" + "01000000" + "0008000000000000" + "0000200000000000" + "a2a0d05ae5b9334487c068b6b72699c7" + "0202" +
		"04041a00" + hex.EncodeToString([]byte("\\\x00E\x00F\x00I\x00\\\x00a\x00.\x00e\x00f\x00i\x00\x00\x00")) + "7fff0400"
	if hex.EncodeToString(got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
	if nameOf(got) != "Hardnode" {
		t.Errorf("its name is %q", nameOf(got))
	}
	if _, err := (Entry{"x", Partition{GUID: "no"}, "y"}).encode(); err == nil {
		t.Error("a GUID that is none was taken")
	}
}

func other(name string) []byte {
	raw, _ := Entry{name, esp, "x"}.encode()
	return raw
}

func TestChange(t *testing.T) {
	want := []Entry{{"Hardnode", esp, "a"}, {"Hardnode, again", esp, "b"}}
	first, _ := want[0].encode()
	second, _ := want[1].encode()
	for _, c := range []struct {
		name   string
		was    map[uint16][]byte
		order  []uint16
		writes []uint16
		next   []uint16
	}{
		{"nothing there", nil, nil, []uint16{1, 2}, []uint16{1, 2}},
		{"others stay behind", map[uint16][]byte{0: other("UEFI Shell"), 1: other("PXE")}, []uint16{1, 0}, []uint16{2, 3}, []uint16{2, 3,
			1, 0}},
		{"right already", map[uint16][]byte{4: first, 5: second}, []uint16{4, 5}, nil, []uint16{4, 5}},
		{"lost from the order", map[uint16][]byte{4: first, 5: second, 0: other("x")}, []uint16{0, 5}, nil, []uint16{4, 5, 0}},
		{"of another disk", map[uint16][]byte{4: other("Hardnode")}, []uint16{4}, []uint16{1, 4}, []uint16{4, 1}},
		{"one of ours too many", map[uint16][]byte{4: first, 5: second, 6: other("Hardnode rescue")}, []uint16{6, 4, 5}, nil, []uint16{4,
			5}},
		{"an order of what is not there", nil, []uint16{1, 2}, []uint16{3, 4}, []uint16{3, 4, 1, 2}},
		{"twice", map[uint16][]byte{4: first, 7: first, 5: second}, []uint16{7, 4, 5}, nil, []uint16{4, 5}},
	} {
		writes, next, err := change(c.was, c.order, want)
		if err != nil || !reflect.DeepEqual(numbers(writes), c.writes) || !reflect.DeepEqual(next, c.next) {
			t.Errorf("%s: writes %v, order %v, %v; want %v, %v", c.name, numbers(writes), next, err, c.writes, c.next)
		}
	}
}

func TestVars(t *testing.T) {
	v := Vars{t.TempDir()}
	if v.There() {
		t.Error("variables of a machine without any")
	}
	put := func(name, vendor, text string) {
		if err := os.WriteFile(filepath.Join(v.Dir, name+"-"+vendor), append([]byte{7, 0, 0, 0}, text...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("LoaderDevicePartUUID", loader, string(bytes16("5ad0a0a2-b9e5")))
	put("LoaderImageIdentifier", loader, string(bytes16(`\EFI\BOOT\BOOTX64.EFI`)))
	put("BootOrder", global, "\x03\x00")
	put("Boot0003", global, string(other("PXE")))
	if v.Current() != "" {
		t.Errorf("booted from %q", v.Current())
	}
	put("BootCurrent", global, "\x03\x00")
	if v.Current() != "PXE" {
		t.Errorf("booted from %q", v.Current())
	}
	put("BootNext-and-more", global, "")
	if !v.There() || v.Partition() != "5AD0A0A2-B9E5" || v.Image() != "EFI/BOOT/BOOTX64.EFI" || v.Selected() != "" || v.Counted() != "" {
		t.Errorf("got %q, %q, %q, %q", v.Partition(), v.Image(), v.Selected(), v.Counted())
	}
	want := []Entry{{"Hardnode", esp, "EFI/systemd/x.efi"}, {"Hardnode, again", esp, "EFI/BOOT/BOOTX64.EFI"}}
	for range 2 {
		if err := v.SetOrder(want...); err != nil {
			t.Fatal(err)
		}
		if list, err := v.Order(); err != nil || strings.Join(list, "; ") != "0001 Hardnode; 0002 Hardnode, again; 0003 PXE" {
			t.Errorf("the order is %q, %v", list, err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(v.Dir, "Boot0001-"+global))
	if whole, _ := want[0].encode(); err != nil || !bytes.Equal(raw, append([]byte{7, 0, 0, 0}, whole...)) {
		t.Errorf("Boot0001 is %x, %v", raw, err)
	}
}

func FuzzNames(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 2, 0, 'H', 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		nameOf(raw)
		if _, next, err := change(map[uint16][]byte{1: raw}, []uint16{1}, []Entry{{"Hardnode", esp, "a"}}); err != nil || len(next) == 0 {
			t.Errorf("%q: %v, %v", raw, next, err)
		}
	})
}
