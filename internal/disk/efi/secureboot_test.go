package efi

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestLists(t *testing.T) {
	kind, err := guidBytes(ofSHA256)
	if err != nil {
		t.Fatal(err)
	}
	owner := make([]byte, ownerSize)
	list := func(kind []byte, head, each uint32, items ...[]byte) []byte {
		raw := bytes.Clone(kind)
		size := uint32(listHead) + head + each*uint32(len(items))
		for _, n := range []uint32{size, head, each} {
			raw = append(raw, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
		}
		raw = append(raw, make([]byte, head)...)
		for _, i := range items {
			raw = append(append(raw, owner...), i...)
		}
		return raw
	}
	a, b := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	both := append(list(kind, 4, 48, a, b), list(make([]byte, 16), 0, 20, []byte("what"))...)
	l, err := DecodeLists(both)
	if err != nil || len(l.Digests) != 2 || l.Digests[1] != [32]byte(b) || len(l.Certificates) != 0 {
		t.Errorf("got %+v, %v", l, err)
	}
	for n := 1; n < len(both); n++ {
		if n == len(list(kind, 4, 48, a, b)) {
			continue
		}
		if _, err := DecodeLists(both[:n]); err == nil {
			t.Errorf("cut off at %d of %d bytes it is read", n, len(both))
		}
	}
	if _, err := DecodeLists(list(kind, 0, 0)); err == nil {
		t.Error("entries without a size are read")
	}
}

func FuzzLists(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, b []byte) { DecodeLists(b) })
}

func TestTimestamp(t *testing.T) {
	got := timestamp(time.Date(2026, 11, 27, 3, 4, 5, 6, time.UTC))
	if want := []byte{0xea, 7, 11, 27, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0}; !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
}

func TestStates(t *testing.T) {
	for _, c := range []struct {
		boot, setup int // -1: the variable is not there
		want        SecureBoot
	}{{1, 0, On}, {0, 0, Off}, {0, 1, Setup}, {-1, -1, ""}, {-1, 1, Setup}} {
		v := Vars{Dir: t.TempDir()}
		for name, b := range map[string]int{"SecureBoot": c.boot, "SetupMode": c.setup} {
			if b < 0 {
				continue
			}
			if err := os.WriteFile(filepath.Join(v.Dir, name+"-"+global), []byte{6, 0, 0, 0, byte(b)}, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := v.SecureBoot(); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
	root := t.TempDir()
	if got := Lockdown(root); got != "" {
		t.Errorf("without the file: %q", got)
	}
	if err := os.MkdirAll(root+"/sys/kernel/security", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/sys/kernel/security/lockdown", []byte("none [integrity] confidentiality\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Lockdown(root); got != "integrity" {
		t.Errorf("got %q", got)
	}
}
