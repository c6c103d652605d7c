package kexec

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/system"
	"hardnode.dev/internal/testkit/program"
	"hardnode.dev/internal/wire/slots"
)

// status is a host that runs slot a and boots slot b next.
func status() slots.Status {
	return slots.Status{Installed: true, Slots: []slots.Slot{{Name: slots.A, State: slots.Committed, Booted: true},
		{Name: slots.B, State: slots.Trying, Next: true, SHA256: "x"}, {Name: slots.Rescue, State: slots.Good}}}
}

func TestDecide(t *testing.T) {
	able := Kernel{Able: true}
	for _, c := range []struct {
		name   string
		change func(*slots.Status)
		k      Kernel
		want   slots.Name
		why    string
	}{
		{"the other slot", func(*slots.Status) {}, able, slots.B, ""},
		{"the booted slot", func(s *slots.Status) { s.Slots[0].Next, s.Slots[1].Next = true, false }, able, slots.A, ""},
		{"not installed", func(s *slots.Status) { *s = slots.Status{} }, able, "", "not booted from an installed disk"},
		{"slots can't be read", func(s *slots.Status) { s.Problem = "EIO" }, able, "", "the slots can't be read: EIO"},
		{"a slot is written", func(s *slots.Status) { s.Busy = "a system is being written" }, able, "", "a system is being written"},
		{"rescue", func(s *slots.Status) { s.Slots[0].Booted, s.Slots[2].Booted = false, true }, able, "", "not booted from slot a or b"},
		{"on trial", func(s *slots.Status) { s.Slots[0].State = slots.Trying }, able, "", "slot a is being tried"},
		{"rescue comes next", func(s *slots.Status) { s.Slots[1].Next, s.Slots[2].Next = false, true }, able, "", "neither slot a nor"},
		{"nothing comes next", func(s *slots.Status) { s.Slots[1].Next = false }, able, "", "neither slot a nor slot b"},
		{"kernel without it", func(*slots.Status) {}, Kernel{}, "", "CONFIG_KEXEC_FILE"},
		{"closed", func(*slots.Status) {}, Kernel{Able: true, Closed: true}, "", "kernel.kexec_load_disabled"},
	} {
		s := status()
		c.change(&s)
		next, err := Decide(s, c.k)
		switch {
		case c.why == "" && (err != nil || next.Name != c.want):
			t.Errorf("%s: slot %q, %v", c.name, next.Name, err)
		case c.why != "" && (!errors.Is(err, system.ErrNotKexec) || !strings.Contains(err.Error(), c.why)):
			t.Errorf("%s: %v, want %q", c.name, err, c.why)
		}
	}
}

// door is a kernel that notes what it is given.
type door struct {
	did []string
	err error
}

func (d *door) Kernel() Kernel { return Kernel{Able: true} }

func (d *door) Load(kernel, initrd *os.File, arguments string) error {
	read := func(f *os.File) string {
		if _, err := f.WriteAt([]byte("x"), 0); err == nil { // ETXTBSY
			return "a file that can be written to"
		}
		text, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	d.did = append(d.did, fmt.Sprintf("load %s, %s, %s", read(kernel), read(initrd), arguments))
	return d.err
}

func (d *door) Unload() error { d.did = append(d.did, "unload"); return nil }

// A system is given to the kernel before it is counted, and nothing is left of either when one of them can't be, or is taken back.
func TestPrepare(t *testing.T) {
	const load = "load the kernel, the initramfs, console=ttyS0 hardnode.slot=b"
	for _, c := range []struct {
		name    string
		load    error
		count   error
		altered bool
		back    bool // it is taken back
		did     []string
		why     string
	}{
		{name: "it goes well", did: []string{load, "chose b"}},
		{name: "taken back", back: true, did: []string{load, "chose b", "unchose b", "unload"}},
		{name: "not signed", load: unix.EPERM, did: []string{load}, why: "signed with a key which it believes"},
		{name: "no memory", load: unix.ENOMEM, did: []string{load}, why: "no memory for a second system"},
		{name: "the ESP is full", count: unix.ENOSPC, did: []string{load, "unload"}, why: "it is not counted: no space left"},
		{name: "another file", altered: true, why: "not the one that was written"},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := program.Sections(map[string][]byte{".linux": []byte("the kernel"), ".initrd": []byte("the initramfs"),
				".cmdline": []byte("console=ttyS0\x00")})
			file := filepath.Join(t.TempDir(), "b.efi")
			if err := os.WriteFile(file, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(raw)
			s := status()
			if s.Slots[1].SHA256 = hex.EncodeToString(sum[:]); c.altered {
				s.Slots[1].SHA256 = strings.Repeat("0", 64)
			}
			d := &door{err: c.load}
			work := t.TempDir()
			l := New(Options{Status: func() slots.Status { return s }, Work: work, Door: d, Leaving: func() error { return nil },
				Read: func(n slots.Name, f func(io.Reader) error) error {
					r, err := os.Open(file)
					if err != nil {
						return err
					}
					defer r.Close()
					return f(r)
				},
				Chose: func(n slots.Name) (func() error, error) {
					if c.count != nil {
						return nil, c.count
					}
					d.did = append(d.did, "chose "+string(n))
					return func() error { d.did = append(d.did, "unchose "+string(n)); return nil }, nil
				}})
			undo, err := l.Prepare()
			if c.why == "" && err != nil || c.why != "" && (!errors.Is(err, system.ErrNotKexec) || !strings.Contains(err.Error(), c.why)) {
				t.Fatalf("%v, want %q", err, c.why)
			}
			if err == nil && !c.back { // the order is said again while the machine is being left
				if _, err := l.Prepare(); err != nil {
					t.Error(err)
				}
			}
			if c.back {
				if err := undo(); err != nil {
					t.Error(err)
				}
			}
			if !slices.Equal(d.did, c.did) {
				t.Errorf("did %q, want %q", d.did, c.did)
			}
			if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
			if c.name == "it goes well" { // what the kernel has it is not given again
				if err := l.Load(s.Slots[1]); err != nil || len(d.did) != 2 {
					t.Errorf("again: %q, %v", d.did, err)
				}
			}
		})
	}
}
